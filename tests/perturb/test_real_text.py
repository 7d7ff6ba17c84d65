"""Every edit on real text of many languages: what it says it keeps is kept, example by example.

The texts are of five data sets: tagged words (UD, PAN-X), sentences, pairs, questions with their contexts. A fault is
told with the edit, the language and the text (task/id/field).
"""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import accumulate, pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest
import regex
from tokenizers import Tokenizer

import trainables
from perturb.edits import EDITS, Resources, make_edit
from perturb.edits.base import SEVERITIES, Edit, Replacement, Text, apply, moved, normalised
from perturb.lexicon import Lexicon, Wordnet, folded
from perturb.protect import negations
from perturb.script import known, scripts, scripts_in
from perturb.segment import graphemes, words
from perturb.suite import Edited, Item, prepare
from trainables.data import DataSource
from trainables.edited import FIXED_TAGS, applies, changed, item_of, vocabulary
from trainables.examples import Example
from trainables.perturbations import translations
from trainables.tasks import Task, load_task

pytestmark = pytest.mark.data

# Of XTREME's languages and those that the data add: each is in two of the five sets at least, but for the last few.
LANGUAGES = [
    "af", "ar", "az", "bg", "bn", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "gu", "he", "hi", "hu", "id",
    "it", "ja", "jv", "ka", "kk", "ko", "lt", "ml", "mr", "ms", "my", "nl", "pa", "pl", "pt", "qu", "ro", "ru", "sw",
    "ta", "te", "th", "tl", "tr", "uk", "ur", "vi", "wo", "yo", "zh",
]  # fmt: skip
TASKS = ("udpos", "panx", "tatoeba", "xnli", "xquad")
FEW, ALL = 20, 200
"""Texts of a language in the quick run and in the slow one."""

NUMBER = regex.compile(r"\p{N}+")
# A mark that has nothing to stand on. Burmese and Khmer signs are marks that are clusters of their own.
LOOSE = regex.compile(r"(?<![\p{L}\p{M}\p{N}\p{S}\p{P}\p{Cf}])\p{M}")


class Case(NamedTuple):
    """An example, its task, and what edits see of it."""

    task: Task
    example: Example
    item: Item

    def named(self, field: str) -> str:
        return f"{self.task.name}/{self.example.id}/{field}"


@cache
def source(data_dir: Path) -> DataSource:
    return DataSource(str(data_dir))


@cache
def tasks() -> tuple[Task, ...]:
    return tuple(load_task(name, "this test") for name in TASKS)


@cache
def resources(data_dir: Path) -> Resources:
    """Lexicons and a wordnet as published, English translations of XNLI, and a model that knows no language."""
    xnli = source(data_dir).load(tasks()[3], "test")
    few = [example for own in xnli.values() for example in own[:150]]
    return Resources(
        lexicon=Lexicon.read(data_dir), wordnet=Wordnet.read(data_dir), parallel=translations(few), mix_into=(),
        masked=(echo, "<mask>"),
    )  # fmt: skip


def echo(masked: list[str], most: int) -> list[list[str]]:
    """Words of the text itself for each mask, begun and not."""
    found = []
    for text in masked:
        pieces = [piece for piece in text.split() if "<mask>" not in piece][:most]
        found.append([*(f" {piece}" for piece in pieces), *pieces[:4]])
    return found


@cache
def edits(data_dir: Path) -> tuple[Edit, ...]:
    made = [make_edit(name, resources(data_dir)) for name in EDITS]
    return tuple(edit for edit in made if edit)


def cases(data_dir: Path, language: str, most: int) -> list[Case]:
    """At most so many examples of a language, evenly from the sets that have it; of long contexts a tenth."""
    loaded = {task.name: source(data_dir).load(task, "test", [language]).get(language, []) for task in tasks()}
    have = sorted((task for task in tasks() if loaded[task.name]), key=lambda task: len(loaded[task.name]))
    have.sort(key=lambda task: task.name != "xquad")
    found: list[Case] = []
    for place, task in enumerate(have):
        own = loaded[task.name]
        share = min(len(own), most // 10 if task.name == "xquad" else -(-(most - len(found)) // (len(have) - place)))
        few = [own[i * len(own) // share] for i in range(share)]
        attested = vocabulary(task, few)
        found += [Case(task, example, item_of(task, example, "all", attested)) for example in few]
    return found


def suite(data_dir: Path, rows: Sequence[Case]) -> Iterator[tuple[Edit, Sequence[Case], Edited]]:
    """What each edit makes of the cases that it is for."""
    for edit in edits(data_dir):
        for task in tasks():
            own = [case for case in rows if case.task == task]
            if own and applies(edit, task, own[0].example.lang):
                yield edit, own, prepare([edit], [case.item for case in own], SEVERITIES, seed=5)


def digest(edited: Edited, order: Sequence[int]) -> str:
    """Of what became of the examples, in the given order."""
    rows = [(cell, [sorted(found[i].items()) for i in order]) for cell, found in edited.changes.items()]
    return hashlib.sha256(repr(rows).encode("utf-8", "surrogatepass")).hexdigest()


# --- what is kept -----------------------------------------------------------------------------------------------------


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


def unseen(edit: Edit, text: Text, new: str) -> Iterator[str]:
    """A change is seen by the tokenizers (SentencePiece's nmt_nfkc, the micro model's NFKC with bytes); a control is
    not."""
    pairs = [(normalised(text.text), normalised(new)), tuple(one.ids for one in micro().encode_batch([text.text, new]))]
    for name, (before, after) in zip(("nmt_nfkc", "the micro tokenizer"), pairs, strict=True):
        if (before == after) != edit.control:
            yield f"{name} {'sees a control' if edit.control else 'undoes the change'}"


def wrong_example(case: Case, edit: Edit, changes, after: Example) -> Iterator[str]:
    before = case.example
    same = replace(after, text=before.text, pair=before.pair, words=before.words, answers=before.answers)
    if same != before:
        yield "more than its texts is changed"
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


def faults(data_dir: Path, language: str, most: int, looked_at: Sequence[int]) -> Iterator[str]:
    """All that is wrong with what the edits make of a language's texts; texts are looked at where that many are
    changed."""
    rows = cases(data_dir, language, most)
    rates: dict[str, list[int]] = defaultdict(lambda: [0] * len(SEVERITIES))
    enough: set[str] = set()
    for case in rows:
        for field, text in case.item.texts.items():
            yield from (f"{language} {case.named(field)}: {told}" for told in broken_segmentation(text))
    for edit, own, edited in suite(data_dir, rows):
        for place, case in enumerate(own):
            made = {severity: edited.changes[edit.name, severity][place] for severity in SEVERITIES}
            for severity, changes in made.items():
                count = sum(map(len, changes.values()))
                rates[edit.name][severity - 1] += count
                enough |= {edit.name} if severity == 5 and max(map(len, changes.values()), default=0) > 8 else set()
            told = [*not_nested(made)]
            for severity in looked_at:
                told += wrong_example(case, edit, made[severity], changed(case.task, case.example, made[severity]))
                for field, replacements in made[severity].items():
                    text = case.item.texts[field]
                    new = apply(text.text, replacements)
                    told += [
                        f"{field}, severity {severity}: {what}"
                        for found in (
                            broken_clusters(text, new, replacements), wrong_script(edit, text, replacements),
                            touched(text, new, replacements), unseen(edit, text, new),
                        )
                        for what in found
                    ]  # fmt: skip
            yield from (f"{edit.name} {language} {case.named('')}{what}" for what in told)
    for name, counts in rates.items():
        if counts != sorted(counts) or (name in enough and len(set(counts)) < len(counts)):
            yield f"{name} {language}: changes by severity {counts} do not rise"


@pytest.mark.parametrize("language", LANGUAGES)
def test_edits_keep_what_they_say_they_keep(data_dir, language):
    found = list(faults(data_dir, language, FEW, looked_at=(1, 5)))
    assert not found, told(found)


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_edits_keep_what_they_say_they_keep_in_many_texts(data_dir, language):
    found = list(faults(data_dir, language, ALL, looked_at=SEVERITIES))
    assert not found, told(found)


@pytest.mark.slow
def test_edits_keep_what_they_say_they_keep_in_languages_of_tatoeba_alone(data_dir):
    others = set(source(data_dir).load(tasks()[2], "test")) - set(LANGUAGES)
    assert len(others) > 50
    found = [fault for code in sorted(filter(known, others)) for fault in faults(data_dir, code, FEW, (1, 5))]
    assert not found, told(found)


def told(found: Sequence[str], most: int = 12) -> str:
    return "\n".join([f"{len(found)} faults", *found[:most]])


def test_the_texts_are_of_many_languages_and_scripts(data_dir):
    assert len(LANGUAGES) >= 40 and len({scripts(language)[0] for language in LANGUAGES}) >= 18
    for language in LANGUAGES:
        rows = cases(data_dir, language, ALL)
        there = sum(len(source(data_dir).load(task, "test", [language]).get(language, [])) for task in tasks())
        assert len(rows) == min(ALL, there) >= 70, f"{language}: {len(rows)} texts of {there}"


# --- nothing but the text, the seed and the example's id counts -------------------------------------------------------

MIXED = ("de", "ja", "ka", "ko", "ta", "th", "tr", "vi")


def digests(rows: Sequence[tuple[str, str, list[Item]]], at_hand: Resources, order: int = 1) -> list[str]:
    """Of what each edit makes of the items of a task and a language, which are handed over in order or backwards."""
    found = []
    for name in EDITS:
        edit = make_edit(name, at_hand)
        for task, language, items in rows if edit else ():
            if edit.exists(language) and (task in ("xnli", "xquad") or edit.one_to_one):
                there = items[::order]
                edited = prepare([edit], there, SEVERITIES, seed=5)
                place = {item.id: i for i, item in enumerate(there)}
                found.append(f"{name} {language} {task} {digest(edited, [place[item.id] for item in items])}")
    return found


def items_of(data_dir: Path) -> list[tuple[str, str, list[Item]]]:
    found: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for language in MIXED:
        for case in cases(data_dir, language, 9):
            found[case.task.name, language].append(case.item)
    return [(task, language, items) for (task, language), items in found.items()]


def test_neither_order_nor_process_counts(data_dir, tmp_path):
    rows = items_of(data_dir)
    few = replace(resources(data_dir), masked=None, parallel=None)
    path = tmp_path / "items.pickle"
    path.write_bytes(pickle.dumps((rows, few)))
    running = [
        subprocess.Popen(
            [sys.executable, "-c", "import test_real_text; test_real_text.elsewhere()", str(path)],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": _PATH},
        )
        for seed in ("1", "2")
    ]  # fmt: skip
    here, backwards = digests(rows, few), digests(rows, few, order=-1)
    there = [process.communicate()[0].splitlines() for process in running]
    assert len(here) > 200
    assert differing(here, backwards) == []
    assert [differing(here, one) for one in there] == [[], []]


_PATH = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parents[2])))


def differing(one: Sequence[str], other: Sequence[str]) -> list[str]:
    return [a for a, b in zip_longest(one, other, fillvalue="nothing") if a != b]


def elsewhere() -> None:
    """What a process of its own makes of the items in a file."""
    rows, few = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301 - this test wrote it
    sys.stdout.write("\n".join(digests(rows, few)))


# --- texts of odd lengths ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["hi", "zh"])
def test_long_texts_are_edited_as_short_ones_are(data_dir, language):
    texts = [text.text for case in cases(data_dir, language, FEW) for text in case.item.texts.values()]
    long = ". ".join(texts)
    while len(words(long, language)) < 5000:
        long += ". " + long
    end = words(long, language)[4999][1]
    text = Text(long[:end], language)
    assert len(text.words) == 5000
    for edit in edits(data_dir):
        if edit.exists(language) and edit.name != "masked-lm":
            found = edit.replacements(text, random.Random(0), 5)
            new = apply(text.text, found)
            told = [*broken_clusters(text, new, found), *wrong_script(edit, text, found)]
            assert not told, f"{edit.name} {language}: {told[:5]}"
            assert found or edit.control or edit.name in ("phrase-mixing", "kana", "full-width"), edit.name


@pytest.mark.parametrize("language", LANGUAGES)
def test_short_texts_are_handled(data_dir, language):
    word = next(text for case in cases(data_dir, language, FEW) for text in case.item.texts.values() if text.words)
    first = graphemes(word.text[slice(*word.words[0])])[0]
    for written in ("", " ", first, first[0], f" {first}", f"{first}.", "."):
        text = Text(written, language)
        for edit in edits(data_dir):
            for severity in SEVERITIES if edit.exists(language) else ():
                found = edit.replacements(text, random.Random(0), severity)
                new = apply(written, found)
                told = [*broken_clusters(text, new, found), *wrong_script(edit, text, found)]
                told += unseen(edit, text, new) if found else []
                assert not told, f"{edit.name} {language} {written!r}: {told}"
                assert new.strip() or not written.strip(), f"{edit.name} {language}: nothing is left of {written!r}"
