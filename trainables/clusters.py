"""Which items of a target stand and fall together: hypotheses of one premise, questions on one context or article, and
the same item in several languages. Intervals over items resample such clusters whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from trainables.examples import Example
from trainables.tasks import Task

ALIKE = 0.9
"""The share of a language's ids, and of the first language's, that they must have in common to count as parallel."""

SAME = 0.99
"""The share of those items that must agree in what translation keeps (labels, English sentences)."""

Clusters = dict[str, dict[str, str]]


def clusters(task: Task, examples: Mapping[str, Sequence[Example]]) -> Clusters:
    """The cluster of each item, by language and id: 12 hexadecimal digits that say nothing of the text.

    Items are parallel to those of the first language where nearly all ids are shared and agree in what translation
    keeps: the label, or the English side of retrieval. They then have that language's clusters: the premises of XNLI,
    contexts of XQuAD, else the ids. Items that are not (MLQA, Tatoeba, TyDiQA, UD) have clusters of their own language:
    of questions those of an article, or of a context where no article is named. Where ids are equal by chance and
    nothing says so (row numbers of tagged sentences), items count as parallel; means over languages then keep their
    variance, as such items do not covary.
    """
    if not examples:
        return {}
    first = next(iter(examples))
    told = {example.id: example for example in examples[first]}
    beside = {code: _parallel(told, rows) for code, rows in examples.items() if code != first}
    own = _keys(task, examples[first], any(beside.values()))
    found: Clusters = {}
    for code, rows in examples.items():
        if code == first or beside[code]:
            found[code] = {row.id: _mark("" if any(beside.values()) else code, own.get(row.id, row.id)) for row in rows}
        else:
            found[code] = {name: _mark(code, key) for name, key in _keys(task, rows, False).items()}
    return found


def _keys(task: Task, rows: Sequence[Example], parallel: bool) -> dict[str, str]:
    """What an item shares with others of its cluster, by id."""
    return {row.id: _key(task, row, parallel) for row in rows}


def _key(task: Task, row: Example, parallel: bool) -> str:
    match task.kind:
        case "mining":
            return row.pair if row.label == "target" and row.pair else row.id
        case "span":
            return f"context {row.pair}" if parallel or not row.article else f"article {row.article}"
        case "classification" | "choice" if row.pair is not None:
            return f"text {row.text}"
        case _:
            return row.id


def _parallel(told: Mapping[str, Example], rows: Sequence[Example]) -> bool:
    """Whether a language's items are translations of those that are told, as far as can be seen."""
    shared = [row for row in rows if row.id in told]
    if len(shared) < ALIKE * max(len(rows), len(told)):
        return False
    agree = sum(_kept(row) == _kept(told[row.id]) for row in shared)
    return agree >= SAME * len(shared)


def _kept(row: Example) -> tuple[str | None, ...]:
    """What a translation of an item shares with it: the label; of retrieval the English sentence."""
    bare = row.label is None and not row.answers and not row.words
    return row.label, row.pair if bare else None


def _mark(language: str, key: str) -> str:
    return hashlib.sha256(f"{language} {key}".encode()).hexdigest()[:12]
