"""Pairs in two languages: the first sentence in one, the second in another (generalised cross-lingual transfer,
arXiv 2104.08645), joined from test sets that have the same items in every language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from trainables.errors import Mistake
from trainables.examples import Example
from trainables.forms import shown
from trainables.languages import pair_code
from trainables.tasks import Task


def mixed_pairs(
    task: Task, found: Mapping[str, Sequence[Example]], bad: Callable[[Mistake], None]
) -> dict[str, list[Example]]:
    """The examples of every ordered pair of `task.mixed` that `found` has both languages of, equal ones included.

    An item is in a pair where both its languages have it. Items whose labels differ are told to `bad`. Raises Mistake
    where examples are no pairs of sentences, or two languages have no item in common.
    """
    for code in task.mixed:
        if any(example.pair is None for example in found.get(code, [])):
            right = "`fields: {pair: FIELD}`, the field of the second sentence"
            raise Mistake("there is no second sentence to mix", where=f"task {task.name}, language {code}", right=right)
    there = [code for code in task.mixed if found.get(code)]
    by_id = {code: {example.id: example for example in found[code]} for code in there}
    return {
        pair_code(first, second): _joined(task, found[first], by_id[second], pair_code(first, second), bad)
        for first in there
        for second in there
    }


def _joined(
    task: Task, firsts: Sequence[Example], seconds: Mapping[str, Example], code: str, bad: Callable[[Mistake], None]
) -> list[Example]:
    where = f"task {task.name}, languages {code}"
    shared = [(first, seconds[first.id]) for first in firsts if first.id in seconds]
    if not shared:
        right = "the same `id` for an item in every language, or rows in the same order where they have none"
        raise Mistake("the two languages have no item in common", where=where, right=right)
    joined = []
    for first, second in shared:
        if first.label != second.label:
            labels = f"{shown(str(first.label))} and {shown(str(second.label))}"
            what = f"an item has two labels: {labels}"
            bad(Mistake(what, where=f"{where}, the example {shown(first.id)}", right="parallel items with one label"))
        else:
            joined.append(replace(first, lang=code, pair=second.pair))
    return joined
