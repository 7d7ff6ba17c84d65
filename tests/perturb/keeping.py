"""What an edit of a text must keep, each as a check that yields what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path

import regex
from sentencepiece import SentencePieceNormalizer
from tokenizers import Tokenizer

import trainables
from perturb.edits.base import SEVERITIES, Edit, Replacement, Text, moved
from perturb.lexicon import folded
from perturb.protect import negations
from perturb.script import scripts, scripts_in
from perturb.segment import graphemes
from trainables.edited import FIXED_TAGS
from trainables.examples import Example

NUMBER = regex.compile(r"\p{N}+")
INVISIBLE = regex.compile(r"[\u00ad\u200d\u2060\ufe0f]")
# A mark that has nothing to stand on. Burmese and Khmer signs are marks that are clusters of their own.
LOOSE = regex.compile(r"(?<![\p{L}\p{M}\p{N}\p{S}\p{P}\p{Cf}])\p{M}")


def broken_segmentation(text: Text) -> Iterator[str]:
    at, rebuilt = 0, ""
    for start, end in text.words:
        if not at <= start < end:
            yield f"words overlap at {start}"
        rebuilt += text.text[at:start] + text.text[start:end]
        at = end
    rebuilt += text.text[at:]
    if rebuilt.encode("utf-8", "surrogatepass") != text.text.encode("utf-8", "surrogatepass"):
        yield "the words and what is between them are not the text"
    if text.spans is None and not {place for span in text.words for place in span} <= boundaries(text.text):
        yield "a word cuts a cluster"


def boundaries(text: str) -> set[int]:
    """Where the clusters of a text begin and end."""
    return {0, *accumulate(map(len, graphemes(text)))}


def broken_clusters(text: Text, new: str, replacements: Sequence[Replacement]) -> Iterator[str]:
    """No replacement begins or ends inside a cluster of the text, none of what it writes melts with what stands beside
    it in the new text, and it leaves no mark without its letter."""
    old, after = boundaries(text.text), boundaries(new)
    shift = 0
    for start, end, written in replacements:
        if not {start, end} <= old:
            yield f"{text.text[start:end]!r} cuts a cluster"
        if not {start + shift, start + shift + len(written)} <= after:
            yield f"{written!r} for {text.text[start:end]!r} melts with what is beside it"
        shift += len(written) - (end - start)
    if not set(LOOSE.findall(new)) <= set(LOOSE.findall(text.text)):
        yield "a mark stands alone"


def broken_letters(edit: Edit, text: Text, replacements: Sequence[Replacement]) -> Iterator[str]:
    """What is moved, left out, put in or parted are whole clusters: all others are the word's own, in order."""
    for start, end, new in replacements:
        old = text.text[start:end]
        before, after = graphemes(old), graphemes(new)
        match edit.name:
            case "deletion" | "dropped-words":
                whole = within([c for c in after if c != " "], before)
            case "transposition":
                whole = sorted(before) == sorted(after)
            case "insertion" | "doubled-words":
                whole = within(before, after) or is_hangul(old)  # of whose syllables one gets a tail
            case "invisible":
                whole = len(after) <= len(before) + 1 and INVISIBLE.sub("", new) == INVISIBLE.sub("", old)
            case "spacing":
                whole = [c for c in after if not c.isspace()] == [c for c in before if not c.isspace()]
            case _:
                whole = True
        if not whole:
            yield f"{new!r} for {old!r} has broken clusters"


def within(few: Sequence[str], many: Sequence[str]) -> bool:
    """Whether some stand among others in the same order."""
    rest = iter(many)
    return all(one in rest for one in few)


def is_hangul(text: str) -> bool:
    return "Hangul" in scripts_in(text)


def wrong_script(edit: Edit, text: Text, replacements: Sequence[Replacement]) -> Iterator[str]:
    for start, end, written in [] if edit.leaves_script else replacements:
        foreign = scripts_in(written) - scripts_in(text.text[start:end]) - set(scripts(text.language))
        if foreign:
            yield f"{written!r} for {text.text[start:end]!r} is {foreign}"


def touched(text: Text, new: str, replacements: Sequence[Replacement]) -> Iterator[str]:
    """What is fixed, numbers and negations (found without the spans that the edit was given) are where they were."""
    saying_no = negations(text.language)
    places = [*text.fixed, *(match.span() for match in NUMBER.finditer(text.text))]
    if saying_no:
        said = ((span, folded(text.text[slice(*span)], text.language)) for span in text.words)
        places += [span for span, word in said if word in saying_no.words]
    for start, end in places:
        at = moved(start, replacements)
        if any(start < last and first < end for first, last, _ in replacements) or (
            new[at : at + end - start] != text.text[start:end]
        ):
            yield f"{text.text[start:end]!r} was touched"
    if NUMBER.findall(new) != NUMBER.findall(text.text):
        yield "other numbers than before"


@cache
def micro() -> Tokenizer:
    """The micro model's own: NFKC and pieces, bytes where there is no piece."""
    tokenizer = Tokenizer.from_file(str(Path(trainables.__file__).parent / "micro" / "tokenizer.json"))
    tokenizer.no_truncation()
    return tokenizer


@cache
def normaliser() -> SentencePieceNormalizer:
    return SentencePieceNormalizer(rule_name="nmt_nfkc")


def nmt_nfkc(text: str) -> str:
    return " ".join(normaliser().normalize(text).split())


def unseen(edit: Edit, text: Text, new: str) -> Iterator[str]:
    """A change is seen by the tokenizers (SentencePiece's nmt_nfkc, the micro model's NFKC with bytes); a control is
    not."""
    pairs = [(nmt_nfkc(text.text), nmt_nfkc(new)), tuple(one.ids for one in micro().encode_batch([text.text, new]))]
    for name, (before, after) in zip(("nmt_nfkc", "the micro tokenizer"), pairs, strict=True):
        if (before == after) != edit.control:
            yield f"{name} {'sees a control' if edit.control else 'undoes the change'}"


def wrong_example(before: Example, after: Example, changes: Mapping[str, Sequence[Replacement]]) -> Iterator[str]:
    """Label, id, tags and choices stay; each answer is where it is said to be; each token is one, and names stay."""
    same = replace(after, text=before.text, pair=before.pair, words=before.words, answers=before.answers)
    if same != before:
        yield "more than its texts is changed"
    if {name for name in ("text", "pair") if getattr(before, name) != getattr(after, name)} - changes.keys():
        yield "a text is changed that was not to be"
    if [a.text for a in after.answers] != [a.text for a in before.answers]:
        yield "an answer has another text"
    for answer in after.answers:
        if (after.pair or "")[answer.start : answer.start + len(answer.text)] != answer.text:
            yield f"the answer {answer.text!r} is not at {answer.start}"
    if len(after.words) != len(before.words):
        yield f"{len(before.words)} tokens became {len(after.words)}"
    for old, new, tag in zip(before.words, after.words, before.tags, strict=False):
        if not new.strip() or len(new.split()) > len(old.split()):
            yield f"the token {old!r} became {new!r}"
        if tag.rpartition("-")[2] in FIXED_TAGS and new != old:
            yield f"{old!r}, which is {tag}, became {new!r}"


def not_nested(made: dict[int, dict[str, Sequence[Replacement]]]) -> Iterator[str]:
    for less, more in pairwise(SEVERITIES):
        if any(not set(found) <= set(made[more].get(field, ())) for field, found in made[less].items()):
            yield f"what is changed at severity {less} is not at {more}"
