"""Examples as edits see them, and back: which texts of an example may change, what in them may not, and what follows.

Gold answers, numbers and negations stay as they are, and of tagged words the entities (PAN-X) and what is tagged as a
proper noun or a numeral. A tag stays with its word, an answer keeps its place in the changed context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from perturb.edits.base import Edit, Replacement, Text, apply, moved
from perturb.protect import fixed_spans
from perturb.script import known
from perturb.segment import Span, words
from perturb.suite import Changes, Fields, Item
from trainables.examples import Answer, Example
from trainables.languages import sides
from trainables.mini.lexicon import known_forms
from trainables.tasks import Task
from trainables.watch import beating

FIXED_TAGS = ("PROPN", "NUM", "PER", "ORG", "LOC", "MISC")
"""Tags, without B- and I-, whose words no edit touches: names and numerals."""

WORDS, SEPARATOR = "words", "\n"
"""The field that stands for the words of a tagged sentence, and what stands between them there: words have spaces in
some treebanks."""


def applies(edit: Edit, task: Task, language: str) -> bool:
    """Whether the edit is one for the task in a language, from what both declare; none is for an unknown language or
    script."""
    if task.kind == "tagging" and not edit.one_to_one:
        return False
    if task.word_order and getattr(edit, "order_matters", False):
        return False
    return all(known(code) and edit.exists(code) for code in sides(language) or (language,))


def fields_of(task: Task, example: Example, which: Fields) -> list[str]:
    """The fields of an example that may change: of retrieval and mining the query, of choices what they are about."""
    match task.kind:
        case "tagging":
            return [WORDS]
        case "retrieval":
            return ["text"]
        case "mining":
            return ["text"] if example.label == "source" else []
        case _:
            names = ["text"] if example.pair is None else ["text", "pair"]
            return names if which == "all" else names[:1] if which == "first" else names[1:]


def vocabulary(task: Task, examples: Sequence[Example]) -> dict[str, frozenset[str]]:
    """The words, folded, that the examples of a set use, by language; of the mini suite all that its languages have. No
    misspelling may be one of them: another word may have another meaning."""
    found: dict[str, set[str]] = {}
    for example in beating(examples):
        first, second = sides(example.lang) or (example.lang, example.lang)
        for text, language in ((example.text, first), (example.pair or "", second)):
            own = found.setdefault(language, set())
            own |= {text[start:end].casefold() for start, end in words(text, language)}
        found.setdefault(first, set()).update(word.casefold() for word in example.words)
    if task.source.mini:
        return {language: frozenset(own | known_forms(language)) for language, own in found.items()}
    return {language: frozenset(own) for language, own in found.items()}


def item_of(task: Task, example: Example, which: Fields, attested: Mapping[str, frozenset[str]]) -> Item:
    """An example as a suite edits it."""
    languages = sides(example.lang) or (example.lang, example.lang)
    texts = {}
    for name in fields_of(task, example, which):
        language = languages[name == "pair"]
        text, spans, fixed = _field(task, example, name)
        gold = [answer.text for answer in example.answers]
        fixed = (*fixed, *fixed_spans(text, language, spans, gold))
        texts[name] = Text(text, language, spans, fixed, attested.get(language, frozenset()))
    return Item(example.id, texts)


def _field(task: Task, example: Example, name: str) -> tuple[str, tuple[Span, ...] | None, tuple[Span, ...]]:
    """A field's text, its words where the task gives them, and what in it may not change."""
    if name == WORDS:
        spans = tuple(_spans(example.words))
        fixed = tuple(
            span for span, tag in zip(spans, example.tags, strict=True) if tag.rpartition("-")[2] in FIXED_TAGS
        )
        return SEPARATOR.join(example.words), spans, fixed
    if name == "pair":
        return example.pair or "", None, tuple((a.start, a.start + len(a.text)) for a in example.answers)
    return example.text, None, ()


def _spans(tokens: Sequence[str]) -> list[Span]:
    ends = list(accumulate(len(token) + 1 for token in tokens))
    return [(end - 1 - len(token), end - 1) for end, token in zip(ends, tokens, strict=True)]


def spelled(task: Task, example: Example, fields: Sequence[str], texts: Sequence[str]) -> Example:
    """The example with other texts in its fields; answers, which no edit touches, are found again in the context."""
    for name, text in zip(fields, texts, strict=True):
        if name == WORDS:
            example = replace(example, words=tuple(text.split(SEPARATOR)))
        elif name == "text":
            example = replace(example, text=text)
        else:
            example = replace(example, pair=text, answers=_found(example, text))
    return example


def _found(example: Example, context: str) -> tuple[Answer, ...]:
    """The answers where they stand in a changed context: the occurrence of the same number as in the old one, or where
    a change made further ones, of those that it may then be the one that is nearest to its old place."""
    old, found = example.pair or "", []
    for answer in example.answers:
        before, after = _places(answer.text, old), _places(answer.text, context)
        number, more = sum(start < answer.start for start in before), len(after) - len(before)
        # Changes touch no occurrence, so there are none less; of more ones, which are new is not known.
        own = after[number : number + 1 + max(0, more)]
        if own:
            found.append(Answer(answer.text, min(own, key=lambda start: abs(start - answer.start))))
    return tuple(found)


def _places(text: str, context: str) -> list[int]:
    """Where a text stands in a context, also where it overlaps itself."""
    found = [context.find(text)]
    while found[-1] >= 0:
        found.append(context.find(text, found[-1] + 1))
    return found[:-1]


def changed(task: Task, example: Example, changes: Changes) -> Example:
    """The example after its changes; answers stand where their text now is."""
    for name, replacements in changes.items():
        example = _changed(task, example, name, replacements)
    return example


def _changed(task: Task, example: Example, name: str, replacements: Sequence[Replacement]) -> Example:
    if name == WORDS:
        tokens, starts = list(example.words), {start: place for place, (start, _) in enumerate(_spans(example.words))}
        for start, _, new in replacements:
            tokens[starts[start]] = new
        return replace(example, words=tuple(tokens))
    if name == "text":
        return replace(example, text=apply(example.text, replacements))
    answers = tuple(Answer(answer.text, moved(answer.start, replacements)) for answer in example.answers)
    return replace(example, pair=apply(example.pair or "", replacements), answers=answers)
