"""From a row of data to an example of its task's kind; a Mistake where the row does not fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from trainables.errors import Mistake, nearest
from trainables.examples import Answer, Example
from trainables.tasks import ROLES, Task

LONGEST = 200_000
"""Characters a field may have: what is longer is no example but a file gone wrong."""

STRIPPED = 16
"""Characters by which an offset of the hub's may miss its answer."""


def example_of(task: Task, row: Mapping[str, Any], code: str, number: int, where: str) -> Example | None:
    """One row in the common form, None where it says that it has no label.

    `number` is the row's place within its language: its id where it has none, so that sets whose languages are parallel
    row by row are parallel here.
    """
    label = field_of(task, row, "label")
    if task.unlabelled and _is_plain(label) and str(label) in task.unlabelled:
        return None
    optional = [role for role in ("pair",) if role in task.fields]
    for role in dict.fromkeys((*ROLES[task.kind], *optional)):
        if blank(field_of(task, row, role)):
            raise _lacking(task, row, role, where)
    example = _FORMS[task.kind](task, row, Example(_identity(task, row, number, where), code), where)
    for text in (example.id, example.text, example.pair or "", *example.words, *example.choices):
        _check_text(text, where)
    return example


def _lacking(task: Task, row: Mapping[str, Any], role: str, where: str) -> Mistake:
    name = task.fields.get(role, role)
    names = [one if one.isprintable() and len(one) <= SHORT else shown(one) for one in list(row)[:FIELDS]]
    more = [f"… and {len(row) - FIELDS} more"] if len(row) > FIELDS else []
    right = f"fields: {', '.join([*names, *more])}"
    return Mistake(f"the example has no {role} (field '{name}')", where=where, right=right)


def _identity(task: Task, row: Mapping[str, Any], number: int, where: str) -> str:
    """A row's own id, or its number where it has none."""
    own = field_of(task, row, "id")
    if own is None or _is_nan(own):
        return str(number)
    if isinstance(own, str) and not own.strip():
        raise Mistake("the id is empty", where=where, right="an id of its own for each row, or no id at all")
    return _plain(own, "the id", where, truth=False)


def _classification(task: Task, row: Mapping[str, Any], empty: Example, where: str) -> Example:
    label = _labelled(task, field_of(task, row, "label"), "the label", where)
    check_labels(task, [label], where)
    return replace(empty, text=_text(task, row, "text", where), pair=_pair(task, row, where), label=label)


def _tagging(task: Task, row: Mapping[str, Any], empty: Example, where: str) -> Example:
    words, tags = field_of(task, row, "words"), field_of(task, row, "tags")
    if isinstance(task.fields.get("tags"), list):
        tags = _joined(tags, where)
    if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags):
        lengths = f" ({len(words)} and {len(tags)})" if isinstance(words, list) and isinstance(tags, list) else ""
        raise Mistake(f"words and tags are not two lists of the same length{lengths}", where=where)
    words = [_plain(word, f"word {number}", where, truth=False) for number, word in enumerate(words, 1)]
    tags = [_labelled(task, tag, f"tag {number}", where) for number, tag in enumerate(tags, 1)]
    check_labels(task, tags, where)
    return replace(empty, words=tuple(words), tags=tuple(tags))


def _joined(fields: list[Any], where: str) -> list[str]:
    """One tag a word of several fields with one each: `NN|nsubj`."""
    if any(not isinstance(field, list) or len(field) != len(fields[0]) for field in fields):
        raise Mistake("the fields that are joined to tags are not lists of the same length", where=where)
    return ["|".join(_plain(part, "a part of a tag", where) for part in parts) for parts in zip(*fields, strict=True)]


def _span(task: Task, row: Mapping[str, Any], empty: Example, where: str) -> Example:
    context = _text(task, row, "pair", where)
    found = field_of(task, row, "answers")
    if found is None and not _is_there(task, row, "answers"):
        raise _lacking(task, row, "answers", where)
    if isinstance(found, dict):
        found = [_unstripped(context, answer) for answer in _transposed(found, where)]
    if not isinstance(found, list) and found is not None:
        raise Mistake(f"the answers are no list but {_sort(found)}", where=where)
    if not found and not task.span.may_be_unanswerable:
        right = "an answer, or `span: {may_be_unanswerable: true}` in the task's file"
        raise Mistake("the question has no answer", where=where, right=right)
    answers = tuple(_answer(context, answer, where) for answer in found or [])
    title = field_of(task, row, "title")
    article = title.strip() if isinstance(title, str) else ""
    return replace(empty, text=_text(task, row, "text", where), pair=context, answers=answers, article=article)


def _transposed(columns: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The hub's form of answers, a list of texts beside a list of offsets, as a list of answers."""
    values = list(columns.values())
    if not all(isinstance(value, list) for value in values) or len(set(map(len, values))) > 1:
        right = "a list of objects, or an object of lists that are equally long"
        raise Mistake("the answers are no list", where=where, right=right)
    return [dict(zip(columns, answer, strict=True)) for answer in zip(*values, strict=True)]


def _unstripped(context: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with the offset of its nearest occurrence, where that is near.

    The hub's copies of SQuAD's relatives lost the blanks at the ends of contexts and answers, which the offsets still
    count (huggingface/datasets issue 2585).
    """
    text, start = answer.get("text"), answer.get("answer_start")
    if not isinstance(text, str) or not isinstance(start, int) or start < 0 or context.startswith(text, start):
        return answer
    near = range(max(0, start - STRIPPED), start + STRIPPED + 1)
    places = [place for place in near if context.startswith(text, place)]
    return {**answer, "answer_start": min(places, key=lambda place: abs(place - start), default=start)}


def _answer(context: str, answer: Any, where: str) -> Answer:
    text, start = (answer.get("text"), answer.get("answer_start")) if isinstance(answer, dict) else (None, None)
    if not isinstance(text, str) or not text.strip() or not isinstance(start, int) or isinstance(start, bool):
        raise Mistake("an answer is no object with 'text' and 'answer_start'", where=where)
    if context[max(start, 0) : max(start, 0) + len(text)] == text and start >= 0:
        return Answer(text, start)
    at = context.find(text)
    right = f"the context first says it at {at} (in characters, from 0)" if at >= 0 else ""
    if start < 0 or start + len(text) > len(context):
        offset = str(start) if abs(start) < 10**18 else "of more than 18 figures"
        what = f"the answer's offset {offset} lies outside its context of {len(context)} characters"
        raise Mistake(what, where=where, right=right)
    there = shown(context[start : start + len(text)])
    what = f"at the offset {start} the context says {there}, not the answer {shown(text)}"
    raise Mistake(what, where=where, right=right)


def _choice(task: Task, row: Mapping[str, Any], empty: Example, where: str) -> Example:
    found = field_of(task, row, "choices")
    if isinstance(found, dict):  # the hub's form: a list of texts beside a list of labels
        found = found.get("text")
    texts = [one.get("text") if isinstance(one, dict) else one for one in found] if isinstance(found, list) else []
    if not 2 <= len(texts) <= 5 or any(map(blank, texts)):
        counted = f" (there are {len(texts)})" if isinstance(found, list) else ""
        raise Mistake(f"the choices are no list of two to five texts{counted}", where=where)
    choices = tuple(_plain(text, f"choice {number}", where, truth=False) for number, text in enumerate(texts))
    label = _labelled(task, field_of(task, row, "label"), "the label", where)
    # One figure at most: int() refuses numbers of thousands of them.
    if not label.isdecimal() or len(label) > 1 or int(label) >= len(choices):
        right = f"0 to {len(choices) - 1}, or `label_values` in the task's file"
        what = f"the index of the right choice is {shown(label)}, of {len(choices)} choices"
        raise Mistake(what, where=where, right=right)
    text, pair = _text(task, row, "text", where), _pair(task, row, where)
    return replace(empty, text=text, pair=pair, choices=choices, label=str(int(label)))


def _texts(task: Task, row: Mapping[str, Any], empty: Example, where: str) -> Example:
    pair = _pair(task, row, where) if task.kind == "retrieval" else None
    return replace(empty, text=_text(task, row, "text", where), pair=pair)


_FORMS = {
    "classification": _classification, "tagging": _tagging, "span": _span, "choice": _choice,
    "retrieval": _texts, "mining": _texts, "masked_lm": _texts,
}  # fmt: skip


def check_labels(task: Task, labels: Iterable[str], where: str) -> None:
    """A Mistake for a label that the task does not have."""
    if task.kind == "choice":
        return
    for label in labels:
        if task.labels_from_train:
            _check_text(label, where)
        elif label not in task.labels:
            right = nearest(label[:SHORT], task.labels)
            raise Mistake(f"unknown label {shown(label)} for task '{task.name}'", where=where, right=right)


def field_of(task: Task, row: Mapping[str, Any], role: str) -> Any:
    """What a row says for a role: its field, a field within a field (`question.stem`), or a list of several fields."""
    path = task.fields.get(role, role)
    if isinstance(path, list):
        return [row.get(name) for name in path]
    if path in row or "." not in path:
        return row.get(path)
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _is_there(task: Task, row: Mapping[str, Any], role: str) -> bool:
    """Whether the row has the field of a role, if only to say that it is empty."""
    path = task.fields.get(role, role)
    return not isinstance(path, str) or "." in path or path in row


def _text(task: Task, row: Mapping[str, Any], role: str, where: str) -> str:
    return _plain(field_of(task, row, role), f"the {role}", where, truth=False)


def _pair(task: Task, row: Mapping[str, Any], where: str) -> str | None:
    return None if blank(field_of(task, row, "pair")) else _text(task, row, "pair", where)


def _labelled(task: Task, value: Any, what: str, where: str) -> str:
    text = _plain(value, what, where)
    return task.label_values.get(text, text)


def _plain(value: Any, what: str, where: str, *, truth: bool = True) -> str:
    """A value as text. Numbers count as texts, since files made from tables have both; `truth`: true and false too."""
    if not _is_plain(value) or (isinstance(value, bool) and not truth):
        raise Mistake(f"{what} is no text but {_sort(value)}", where=where)
    return str(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not _is_nan(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


_SORTS = {"dict": "an object", "list": "a list", "bool": "true or false", "NoneType": "null", "float": "no number"}


def _sort(value: Any) -> str:
    """What sort of thing a value is, without showing it: it may be of any size."""
    return _SORTS.get(type(value).__name__, f"of the type {type(value).__name__}")


def blank(value: Any) -> bool:
    """Whether a field says nothing: it is missing, empty, spaces alone, or a table's missing number."""
    return value is None or value == [] or _is_nan(value) or (isinstance(value, str) and not value.strip())


SHORT = 60
"""Characters of a value that a message shows."""

FIELDS = 20
"""Names of fields that a message lists."""


def shown(text: str) -> str:
    """A value for a message: in quotes, what cannot be printed escaped, cut where it is long."""
    return repr(text) if len(text) <= SHORT else f"{text[:SHORT]!r}… ({len(text):,} characters)"


def _check_text(text: str, where: str) -> None:
    if "\0" in text:
        raise Mistake("the text holds a NUL character", where=where)
    if len(text) > LONGEST:
        raise Mistake(f"the text has {len(text):,} characters, more than {LONGEST:,}", where=where)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Mistake(f"the text holds half a character: {error.reason}", where=where) from error
