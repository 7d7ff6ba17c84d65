"""What needs the store, data and model of a run besides its folder: the recommended order's weights, and examples.

Both are of one root seed: of the study's own that at which the recommended candidate did best on what candidates are
chosen on (English dev, or the search half of the test items), so that no test score chose it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from search.analysis.overall import candidates, overall
from search.candidate import Candidate
from search.files import write
from search.order import Order
from search.report.card import card
from search.report.parts import Summary
from search.results import Results
from trainables.errors import Mistake
from trainables.perturbations import ATTACK
from trainables.untrusted import read_json

if TYPE_CHECKING:
    from trainables.bench import Workplace
    from trainables.stage import Stage

EXAMPLES = "examples.json"

SHOWN_TEXT = 600
"""Characters of a text among the examples; of a longer one the beginning."""


def export_model(results: Results, summary: Summary, folder: Path) -> list[Path]:
    """Write the recommended candidate's models, a folder a target, with the card as README.md and scores; the folders.

    Raises Mistake where the run's data or model changed, where the store lacks weights, or the folder holds something.
    """
    place, stages, root = _opened(results, summary)
    from trainables.export import export_models

    clean = [stage for stage in stages if not stage.measure]
    text = card(results, summary, exported=f"those of root {root}, {_chosen_by(results)}")
    return export_models(place, clean, folder, scores_of(results, summary.head.recommended, root), text)


def examples(results: Results, summary: Summary, count: int) -> dict[str, list[dict[str, Any]]]:
    """By language, `count` items of each target: texts clean and changed, gold and predictions, for people to read."""
    place, stages, _ = _opened(results, summary)
    from trainables.shown import shown_examples

    found: dict[str, list[dict[str, Any]]] = {}
    for row in shown_examples(place, stages, count):
        found.setdefault(str(row["language"]), []).append(told(row))
    return found


def keep_examples(folder: Path, found: Mapping[str, Any]) -> None:
    """Write examples beside a report, so that it can be made again without store, data and model."""
    write(folder / EXAMPLES, json.dumps(found, ensure_ascii=False, indent=0) + "\n")


def kept_examples(folder: Path) -> dict[str, Any] | None:
    """The examples that were written into a folder; None where there are none. Raises Mistake where they are broken."""
    path = folder / EXAMPLES
    if not path.is_file():
        return None
    try:
        found = read_json(path, finite=True)
        if not isinstance(found, dict):
            raise ValueError("it holds no object")  # noqa: TRY004
    except (OSError, ValueError) as error:
        raise Mistake(f"the examples cannot be read: {error}", where=str(path), right="take the file away") from error
    return found


def told(row: Mapping[str, Any]) -> dict[str, Any]:
    """An example's row as a page shows it."""
    name = str(row["perturbation"])
    what = "clean" if name == "none" else f"{name.removeprefix(ATTACK)} attack" if name.startswith(ATTACK) else name
    severity = f", severity {row['severity']}" if row["severity"] else ""
    unchanged = "" if name == "none" or row["changed"] else " (nothing to change)"
    texts = {str(key): _cut(str(text)) for key, text in row["texts"].items()}
    right = float(row["right"])
    mark = "right" if right == 1 else "wrong" if right == 0 else f"{right:.2f}"
    return {"target": str(row["target"]), "id": str(row["id"]), "as": f"{what}{severity}{unchanged}", **texts,
            "gold": _cut(str(row["gold"])), "predicted": _cut(str(row["predicted"])), "score": mark}  # fmt: skip


def root_of(results: Results, candidate: str) -> int:
    """The own root at which a candidate did best on what candidates are chosen on; the first of equals.

    Raises Mistake where it has no such score.
    """
    seen = overall(results.own, results.seen)
    values = seen.loc[candidate].dropna() if candidate in seen.index else pd.Series(dtype=float)
    if values.empty:
        raise Mistake(f"{candidate} has no selection score at any root", right="a run that has ended")
    return int(values.idxmax())


def scores_of(results: Results, candidate: str, root: int) -> dict[str, Any]:
    """The scores of one model: by target and language, in percent."""
    rows = results.own[(results.own.candidate == candidate) & (results.own.seed == root)]
    rows = rows[(rows.portion == results.portion) & rows.main.astype(bool) & (rows.perturbation == "none")]
    found: dict[str, Any] = {}
    for row in rows.itertuples():
        found.setdefault(str(row.target), {})[str(row.language)] = round(100 * float(row.value), 3)
    return {"candidate": candidate, "root": root, "portion": results.portion, "scores": found}


def _opened(results: Results, summary: Summary) -> tuple[Workplace, list[Stage], int]:
    """The workplace of the study, and the recommended candidate's score stages at the root that is shown.

    torch is imported only once all is found to be in order.
    """
    from search.study import Study

    name = summary.head.recommended
    if not name:
        raise Mistake("no order is recommended", right="a run in which some candidate has all of its roots")
    if results.differences:
        raise Mistake("runs that were mixed have no models of one study", right="one run, without --mix")
    root, about = root_of(results, name), candidates(results.scores).loc[name]
    length = None if pd.isna(about.prompt_length) else int(about.prompt_length)
    study = Study(results.settings)
    one = Candidate(Order.parse(str(about.order)), str(about.method), float(about.learning_rate), length)
    stages = [planned.stage for planned in study.planned(one, root) if not planned.after]
    known = set(results.stages.key)
    scored = [stage for stage in stages if stage.kind == "score"]
    if not {stage.key for stage in scored} <= known:
        what = "the run's stages cannot be named any more: data, model, versions or machine are others than they were"
        raise Mistake(what, where=str(results.runs[0].path), right="the machine, data and versions of manifest.json")
    from trainables.bench import Workplace

    return Workplace(**json.loads(study.workplace())), scored, root


def _chosen_by(results: Results) -> str:
    what = "English dev" if results.seen == "dev" else "the search half of the test items"
    return f"the best of its roots on {what}"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]} …"
