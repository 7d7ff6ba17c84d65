"""`order-search report`: the report of one or several runs, made again from their folders."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from search.flags import Parser, count
from trainables.errors import Mistake

if TYPE_CHECKING:
    from rich.console import Console

DOES = "write the report of finished runs: one offline page, Markdown, JSON, and the best order's model card"


def read(parser: Parser) -> None:
    """The flags of `report`."""
    run = "a run folder, e.g. runs/orders-20260131-120000; several of one study are merged"
    parser.add_argument("runs", nargs="+", metavar="RUN", help=run)
    parser.add_argument("--out", metavar="DIR", help="folder that files are written to (the run's own)")
    parser.add_argument("--figures", action="store_true", help="pictures for papers in figures/: PNG, SVG and CSV")
    parser.add_argument(
        "--examples", type=count, metavar="N",
        help="N examples a target and language, clean and changed, with what the recommended order's model says",
    )  # fmt: skip
    parser.add_argument(
        "--export-model", metavar="DIR", help="the recommended order's weights in transformers format, with its card"
    )
    parser.add_argument(
        "--lang2vec", metavar="FILE",
        help="CSV file of languages' distances from English: a column language, then any numeric ones",
    )  # fmt: skip
    parser.add_argument("--mix", action="store_true", help="runs that are not of one study, side by side")


def report(given: Namespace, console: Console) -> int:
    """Write the report, and say where it is. Raises Mistake for runs that cannot be read or merged, and the like."""
    runs = list(dict.fromkeys(given.runs))
    if len(runs) > 1 and not given.out:
        raise Mistake("several runs have no folder of their own", where="--out", right="--out DIR, for their report")
    from search.analysis.findings import findings
    from search.publish import published
    from search.report.images import write_images
    from search.report.summary import summarize
    from search.report.weights import examples, export_model, keep_examples, kept_examples
    from search.report.write import write_report
    from search.results import load

    results, folder = load(runs, mix=given.mix), Path(given.out or runs[0])
    made, _ = published(results)
    found = findings(results, given.lang2vec)
    shown = kept_examples(folder)
    if given.examples:
        shown = examples(results, summarize(results, made.board, found), given.examples)
        keep_examples(folder, shown)
    summary = write_report(results, folder, made.board, found, made.about, shown)
    lines = [f"{folder}/report.html  report.md  report.json{'  cards/' if summary.head.recommended else ''}"]
    if given.figures:
        written = write_images(list(summary.pictures()), folder / "figures")
        lines.append(f"{folder}/figures/  {len(written)} pictures, and their figures as CSV")
    if given.export_model:
        targets = export_model(results, summary, Path(given.export_model))
        lines.append(f"{given.export_model}/  models for {', '.join(path.name for path in targets)}")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
    return 0
