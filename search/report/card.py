"""The model card of the recommended order, with the front matter of the Hugging Face hub.

One card is written, not one of each of the best few: it names the candidates that are not shown to be worse, and a card
a model is what `--export-model` gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from search.analysis.outcomes import clean_cells
from search.means import half_width, mean_by
from search.report.cells import called
from search.report.head import ONE_CHECKPOINT
from search.report.parts import Summary
from search.results import Results
from trainables.languages import LANGUAGES

TASKS = {
    "classification": "text-classification", "tagging": "token-classification", "span": "question-answering",
    "choice": "multiple-choice", "retrieval": "sentence-similarity", "mining": "sentence-similarity",
}  # fmt: skip
"""What the hub calls our kinds of tasks."""


def card(results: Results, summary: Summary, exported: str = "") -> str:
    """The card's text. `exported` says of which root the weights beside it are, where some are."""
    name = summary.head.recommended
    cells = clean_cells(results, few_shot=True)
    own = cells.loc[:, cells.columns.get_level_values("candidate") == name].droplevel("candidate", axis="columns")
    return f"---\n{_front(results, summary, own)}---\n\n" + "\n".join(_body(results, summary, own, exported)) + "\n"


def _front(results: Results, summary: Summary, cells: pd.DataFrame) -> str:
    """The front matter: languages, base model, tags, data sets and scores in the hub's form."""
    from huggingface_hub import EvalResult, ModelCardData

    tasks, model = results.manifest["tasks"], str(results.manifest["model"]["name"])
    scores = [
        EvalResult(
            task_type=TASKS.get(str(tasks.get(target, {}).get("kind")), "text-classification"),
            dataset_type=str(target), dataset_name=str(target), metric_type=_metric(results, str(target)),
            metric_name="mean over languages",
            metric_value=round(float(values.mean().mean()), 2),
        )
        for target, values in cells.groupby(level="target", sort=False)
    ]  # fmt: skip
    methods = summary.about["recommended"]["method"]
    data = ModelCardData(
        language=[code for code in cells.index.unique("language") if code in LANGUAGES and len(code) == 2] or None,
        library_name="adapters" if methods in ("prompt", "adapter", "lora") else "transformers",
        base_model=model if model.count("/") == 1 and not model.startswith((".", "/")) else None,
        tags=["order-search", "cross-lingual-transfer", "zero-shot", "intermediate-task-training"],
        datasets=_hub_names(tasks) or None, model_name=_one_line(f"{summary.head.title}: {name_of(summary)}"),
        eval_results=scores or None,
    )  # fmt: skip
    return str(data.to_yaml()) + "\n"


def name_of(summary: Summary) -> str:
    """The order in notation."""
    return str(summary.about["recommended"]["order"])


def _body(results: Results, summary: Summary, cells: pd.DataFrame, exported: str) -> Iterator[str]:
    head, about, manifest = summary.head, summary.about, results.manifest
    yield f"# {_text(name_of(summary))}\n"
    yield from (f"> **{_text(stamp)}.**\n" for stamp in head.stamps)
    yield (
        f"The recommended order of English intermediate tasks of the study “{_text(head.title)}”: {_text(head.why)}. "
        f"{_text(about['alike'])}\n"
    )
    yield from _facts({
        "base model": f"{manifest['model']['name']} (fingerprint {manifest['model']['fingerprint'][:16]})",
        "order": name_of(summary), "settings": about["recommended"]["settings"],
        "training": f"{_budget(results)} a stage, batches of {results.settings.train.batch_size}",
        "targets": ", ".join(results.settings.targets), "roots": str(results.seeds),
        **({"weights": exported} if exported else {}),
    })  # fmt: skip
    yield "## Scores\n"
    yield f"{_trained_in(results)} In percent, ± half a 95 % t interval over roots.\n"
    yield from _facts({key.name: f"{key.figure} {key.beside}" for key in head.keys})
    yield from _scores(cells, summary)
    yield "## Data\n"
    yield from _data(results)
    yield "## Intended use and limits\n"
    yield (
        "For research on cross-lingual transfer: to compare with, to repeat, to build on. Languages, tasks and texts "
        "other than those scored here are untested; so is any use in which a wrong answer does harm.\n"
    )
    limits = [*head.caveats] or [ONE_CHECKPOINT.format(model=manifest["model"]["name"])]
    yield from (f"- {_text(one)}" for one in limits)
    if any(key.name == "robust score" for key in head.keys):
        yield "- The robust score is that of the edits named in the run; other edits and attacks may do more harm."
    else:
        yield "- Robustness to misspellings, mixed languages or attacks was not measured."
    yield "\n## How to cite\n"
    yield "```bibtex\n" + str(about["cite"]) + "\n```\n"
    yield "## Environment\n"
    yield f"    {' '.join(str(manifest['command']).split())}\n"
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    yield f"Commit {_text(str(manifest.get('commit') or 'unknown'))}; {_text(versions)}."


def _scores(cells: pd.DataFrame, summary: Summary) -> Iterator[str]:
    yield "| target | languages | score |\n|---|---|---|"
    for target, values in cells.groupby(level="target", sort=False):
        yield f"| {_text(str(target))} | {len(values)} | {_figure(values.mean(skipna=False))} |"
    yield "\n| language | score | robust | gap to English |\n|---|---|---|---|"
    by_language = mean_by(cells, "language")
    for code in summary.languages["languages"]:
        if code not in by_language.index:
            continue
        own = summary.languages["languages"][code]["values"]
        place = _place(summary)
        robust, gap = (_at(own.get(kind), place) for kind in ("robust", "gap"))
        yield f"| {_text(called(code))} ({_text(code)}) | {_figure(by_language.loc[code])} | {robust} | {gap} |"
    yield ""


def _place(summary: Summary) -> int:
    ranked = [str(name) for name in summary.languages["candidates"]]
    return ranked.index(summary.head.recommended) if summary.head.recommended in ranked else -1


def _at(values: list[float | None] | None, place: int) -> str:
    value = values[place] if values and place >= 0 else None
    return "" if value is None else f"{value:.1f}"


def _figure(roots: pd.Series) -> str:
    """A mean over roots with half its interval."""
    values = [float(value) for value in roots.dropna()]
    half = half_width(values)
    return ("" if not values else f"{sum(values) / len(values):.1f}") + ("" if half is None else f" ± {half:.1f}")


def _data(results: Results) -> Iterator[str]:
    manifest = results.manifest
    yield "| task | kind | role | licence | fingerprint |\n|---|---|---|---|---|"
    roles = dict.fromkeys(results.settings.intermediate, "intermediate")
    roles |= dict.fromkeys(results.settings.targets, "target")
    for name, task in manifest["tasks"].items():
        marks = [mark[:16] for key, mark in manifest["data"].items() if key.split(" ", 1)[-1] == name]
        licence = task.get("licence") or "not stated"
        role = roles.get(name, "training set of a target")
        row = (name, str(task.get("kind", "")), role, licence, " ".join(marks))
        yield f"| {' | '.join(map(_text, row))} |"
    yield ""


def _trained_in(results: Results) -> str:
    """Which languages labels were in."""
    codes = {code for task in results.manifest["tasks"].values() for code in task.get("train_languages", ["en"])}
    if codes == {"en"}:
        return "Zero-shot: all labels that were trained on are English."
    return f"Labels were trained on in {', '.join(map(called, sorted(codes)))}."


def _metric(results: Results, target: str) -> str:
    rows = results.own[(results.own.target == target) & results.own.main.astype(bool)]
    return str(rows.metric.iloc[0]) if len(rows) else "score"


def _hub_names(tasks: Mapping[str, Any]) -> list[str]:
    """Data sets on the hub that tasks name."""
    found = [((task.get("source") or {}).get("hub") or {}) for task in tasks.values()]
    names = [hub if isinstance(hub, str) else hub.get("path") or hub.get("name") for hub in found]
    return sorted({str(name) for name in names if name})


def _budget(results: Results) -> str:
    train = results.settings.train
    return f"{train.epochs:g} epochs" if train.epochs else f"{train.steps} steps"


def _facts(facts: Mapping[str, str]) -> Iterator[str]:
    yield "| | |\n|---|---|"
    yield from (f"| {_text(name)} | {_text(value)} |" for name, value in facts.items())
    yield ""


def _text(text: str) -> str:
    from search.leaderboard.markdown import escaped

    return escaped(_one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())
