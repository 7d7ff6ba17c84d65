"""The report of a study: one page, the same as Markdown and JSON, pictures for papers, and the card of the best order.

Data first: `summary.py` computes all that is shown, `figures.py` makes plotly figures of it; `rendering.py`,
`markdown.py` and `write.py` write it. Nothing here trains or scores; all but `--examples` and `--export-model` comes of
a run folder.
"""
