"""The long table of scores, one row a candidate, seed, target, language, portion and metric; and means over it.

Plain rows here, so that planning and the live view need no pandas; `scores.table` makes the data frame.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from sys import intern
from typing import TYPE_CHECKING, Any

from search.candidate import Candidate

if TYPE_CHECKING:
    import pandas as pd

CLEAN = "none"
"""The perturbation of rows without any."""

UNUSED = {"en-dev": ("search", "report"), "target-dev": ("test",)}
"""Portions of the test items that nothing is made from, by objective. They are in the store, but in no table."""

SCORE_KEYS = {"language", "portion", "metric", "main", "value", "n", "stderr"}
"""What a stored score stage says of each of its scores."""


@dataclass(frozen=True, slots=True)
class Row:
    """One score. `value` and `stderr` are shares in [0, 1], but for counts and for what is measured of representations;
    clean rows have perturbation `none` and severity 0. Of others `perturbation` is an edit's name, or `attack:` and a
    recipe's (severity 0); `attackability` is the share of examples that it could change so that the model's tokenizer
    sees it, `queries` how many of the model an attack needed for an example that was right.

    `portion` is `dev` (English), `test`, or a half of the test items: `search`, which an oracle selection may see, and
    `report`, which it may not; `model` holds what is said of a target's model as a whole, without a language, and
    `representations` what was measured of translations after one of the candidate's stages, named in `stage`, and
    `forgetting` how an order's task (the `target`) was done on its English dev set after that stage. `main` marks the
    metric a target's score is made of; `apart` a language beyond those the target is averaged over.
    `prompt_length` is missing for methods without a prompt; `budget` is the share of the full training.
    """

    candidate: str
    order: str
    method: str
    learning_rate: float
    seed: int
    target: str
    language: str
    portion: str
    perturbation: str
    severity: int
    metric: str
    main: bool
    value: float
    n: int
    stderr: float | None
    attackability: float | None = None
    queries: float | None = None
    apart: bool = False
    prompt_length: int | None = None
    budget: float = 1.0
    stage: str = ""


def rows_of(
    candidate: Candidate,
    seed: int,
    target: str,
    scores: Iterable[Mapping[str, Any]],
    apart: Collection[str] = (),
    stage: str = "",
) -> list[Row]:
    """A stored stage's scores as rows of the table; `apart` are languages that the target is not averaged over."""
    name, order = candidate.name, str(candidate.order)
    # A study keeps all of its rows: equal texts are one object in them.
    return [
        Row(
            candidate=name, order=order, method=candidate.method, learning_rate=candidate.learning_rate, seed=seed,
            target=target, language=intern(score["language"]), portion=intern(score["portion"]),
            perturbation=intern(score.get("perturbation", CLEAN)), severity=score.get("severity", 0),
            metric=intern(score["metric"]), main=score["main"], value=score["value"], n=score["n"],
            stderr=score["stderr"], attackability=score.get("attackability"), queries=score.get("queries"),
            apart=score["language"] in apart, prompt_length=candidate.prompt_length, budget=candidate.budget,
            stage=stage,
        )
        for score in scores
    ]  # fmt: skip


def model_scores(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a training stage's record says of its model, in the form of scores (portion `model`): how many of the
    encoder's parameters were tuned, and their share."""
    return [
        {"language": "", "portion": "model", "metric": name, "main": False, "value": record[name], "n": 1,
         "stderr": None}
        for name in ("tuned_parameters", "tuned_share", "added_parameters") if name in record
    ]  # fmt: skip


def target_scores(rows: Iterable[Row], portion: str) -> dict[str, float]:
    """The mean over languages of each target's primary metric (XTREME's task score)."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.portion == portion and row.main and not row.apart and row.perturbation == CLEAN:
            values[row.target].append(row.value)
    return {target: sum(found) / len(found) for target, found in values.items()}


def mean_score(rows: Iterable[Row], portion: str) -> float:
    """The mean over targets of their mean over languages (XTREME's overall score); nan where nothing was scored."""
    scores = target_scores(rows, portion)
    return sum(scores.values()) / len(scores) if scores else math.nan


def selection_value(rows: Iterable[Row], objective: str) -> float | None:
    """What a strategy is told of a candidate: under `en-dev` the mean over targets of English dev (targets without a
    training set have none and are left out), under `target-dev` that of the search half in all languages."""
    scores = target_scores(rows, "dev" if objective == "en-dev" else "search")
    return sum(scores.values()) / len(scores) if scores else None


def csv_text(frame: pd.DataFrame) -> str:
    """CSV in which no cell is a formula to a spreadsheet: one that would be run as one begins with an apostrophe."""
    texts = {
        name: frame[name].astype(object).map({cell: _harmless(cell) for cell in frame[name].unique()})
        for name in frame.select_dtypes(["object", "category", "string"]).columns
    }
    return str(frame.assign(**texts).to_csv(index=False, lineterminator="\n"))


def _harmless(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    # The csv module leaves a lone carriage return unquoted, which its own reader then refuses.
    return ("'" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else "") + cell.replace("\r", " ")


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """The data frame of the rows."""
    import pandas as pd

    listed = list(rows)
    frame = pd.DataFrame({name: [getattr(row, name) for row in listed] for name in Row.__dataclass_fields__})
    return frame.astype({"prompt_length": "Int64", "attackability": "float64", "queries": "float64"})
