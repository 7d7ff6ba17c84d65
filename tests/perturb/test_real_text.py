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
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest
from keeping import (
    broken_clusters,
    broken_letters,
    broken_segmentation,
    not_nested,
    touched,
    unseen,
    wrong_example,
    wrong_script,
)  # fmt: skip

from perturb.edits import EDITS, Resources, make_edit
from perturb.edits.base import SEVERITIES, Edit, Text, apply
from perturb.lexicon import Lexicon, Wordnet
from perturb.script import known, scripts
from perturb.segment import graphemes, words
from perturb.suite import Edited, Item, prepare
from trainables.data import DataSource
from trainables.edited import applies, changed, item_of, vocabulary
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
                after = changed(case.task, case.example, made[severity])
                told += wrong_example(case.example, after, made[severity])
                for field, replacements in made[severity].items():
                    text = case.item.texts[field]
                    new = apply(text.text, replacements)
                    told += [
                        f"{field}, severity {severity}: {what}"
                        for found in (
                            broken_clusters(text, new, replacements), broken_letters(edit, text, replacements),
                            wrong_script(edit, text, replacements),
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
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    running = subprocess.Popen(
        [sys.executable, "-c", "import test_real_text; test_real_text.elsewhere()", str(path)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONHASHSEED": other, "PYTHONPATH": _PATH},
    )  # fmt: skip
    here, backwards = digests(rows, few), digests(rows, few, order=-1)
    there = running.communicate()[0].splitlines()
    assert len(here) > 200
    assert differing(here, backwards) == []
    assert differing(here, there) == []


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
