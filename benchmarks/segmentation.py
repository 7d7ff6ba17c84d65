"""What TextAttack takes for words in scripts other than Latin, beside the words of `perturb.segment` (ICU's).

    python -m benchmarks.segmentation --data-dir DIR [--texts 200] [--record]

Texts are Tatoeba's sentences, and of Burmese, which it does not have, XNLI's premises; of Arabic those that are written
with vowels at least in part: a mark to ten letters. By language: words a text; grapheme clusters a text that a word
begins or ends inside; and candidates a text of the four changes of DeepWordBug (a letter more, less, other, moved), of
each at most eight a word, as in its recipe here. TextAttack's own are all that it has, one random letter a place. Of
these it is told how many put letters of another script into the word, and how many break a cluster of the text.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from bisect import bisect
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import regex

from benchmarks.results import record
from perturb.edits.base import Edit, Text
from perturb.edits.letters import Deletion, Insertion, Substitution, Transposition
from perturb.offline import textattack
from perturb.recipes.settings import AttackSettings
from perturb.script import scripts, scripts_in
from perturb.segment import Span, graphemes, words
from trainables.data import DataSource
from trainables.tasks import load_task

LANGUAGES = {
    "hi": "Hindi", "ta": "Tamil", "te": "Telugu", "th": "Thai", "ja": "Japanese", "zh": "Chinese", "my": "Burmese",
    "ar": "Arabic, vocalised",
}  # fmt: skip

CHANGES = ("NeighboringCharacterSwap", "RandomCharacterSubstitution", "RandomCharacterDeletion",
           "RandomCharacterInsertion")  # fmt: skip
EDITS: tuple[Edit, ...] = (Insertion(), Deletion(), Substitution(), Transposition())

MOST = AttackSettings(recipe="deepwordbug").most
"""Options of an edit that are tried for a word."""

VOCALISED = 0.1
"""Marks a letter, at least, of Arabic that is written with vowels."""

_MARK, _LETTER = regex.compile(r"[\u064b-\u0652\u0670]"), regex.compile(r"\p{L}")

HEAD = (
    "| language | texts | words a text: ICU | TextAttack | clusters cut a text: ICU | TextAttack | "
    "candidates a text: ours | TextAttack | of these other script | cluster broken |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


class Compared(NamedTuple):
    """Sums over texts: words, clusters that words cut, candidates; of TextAttack's candidates those with letters of
    another script, and those that break clusters."""

    texts: int
    words: int
    stock_words: int
    cut: int
    stock_cut: int
    candidates: int
    stock_candidates: int
    foreign: int
    broken: int

    def row(self, name: str) -> str:
        """A line of the table: means a text, and shares of TextAttack's candidates."""
        each = [f"{value / self.texts:.1f}" for value in self[1:7]]
        shares = [f"{value / max(1, self.stock_candidates):.0%}" for value in (self.foreign, self.broken)]
        return f"| {' | '.join([name, str(self.texts), *each, *shares])} |"


def compared(texts: Sequence[str], language: str) -> Compared:
    """How both cut the texts, and what they would make of the words."""
    sums = np.zeros(8, dtype=int)
    for text in texts:
        ours, stock = words(text, language), stock_words(text)
        made = [(span, new) for span in stock for new in stock_candidates(text[slice(*span)])]
        sums += (
            len(ours), len(stock), len(cut(text, ours)), len(cut(text, stock)), candidates(text, language), len(made),
            sum(is_foreign(text, span, new, language) for span, new in made),
            sum(is_broken(text, span, new) for span, new in made),
        )  # fmt: skip
    return Compared(len(texts), *map(int, sums))


def stock_words(text: str) -> list[Span]:
    """Where the words of TextAttack's `AttackedText` stand."""
    found, at = [], 0
    for word in _stock().shared.AttackedText(text).words:
        start = text.index(word, at)
        at = start + len(word)
        found.append((start, at))
    return found


def cut(text: str, spans: Iterable[Span]) -> set[int]:
    """The grapheme clusters, by where they begin, that a word begins or ends in the middle of."""
    starts = _boundaries(text)
    places = {place for span in spans for place in span}.difference(starts)
    return {starts[bisect(starts, place) - 1] for place in places}


def candidates(text: str, language: str) -> int:
    """How many words our edits would put in place of the text's."""
    return sum(min(MOST, len(site.options)) for edit in EDITS for site in edit.admissible(Text(text, language)))


def stock_candidates(word: str) -> list[str]:
    """What TextAttack's four changes make of a word, wherever they can be made."""
    np.random.seed(0)
    random.seed(0)
    found = [new for name in CHANGES for new in _change(name)._get_replacement_words(word)]
    return [new for new in dict.fromkeys(found) if new != word]


def is_foreign(text: str, span: Span, new: str, language: str) -> bool:
    """Whether a candidate has letters of another script than its word and the language."""
    return bool(scripts_in(new) - scripts_in(text[slice(*span)]) - set(scripts(language)))


def is_broken(text: str, span: Span, new: str) -> bool:
    """Whether a candidate in its word's place leaves another mark to a letter beside it, or takes one: the changed text
    has a boundary of clusters where it begins and ends, as the text had."""
    start, end = span
    before, after = set(_boundaries(text)), set(_boundaries(text[:start] + new + text[end:]))
    return not ({start, end} <= before and {start, start + len(new)} <= after)


@cache
def _stock() -> Any:
    found = textattack()
    logging.getLogger("jieba").setLevel(logging.WARNING)  # it tells where it keeps its dictionary
    return found


@cache
def _change(name: str) -> Any:
    return getattr(_stock().transformations, f"WordSwap{name}")(random_one=False)


def _boundaries(text: str) -> list[int]:
    return [0, *accumulate(map(len, graphemes(text)))]


def texts_of(source: DataSource, language: str, most: int) -> list[str]:
    """Texts of a language, evenly from its set; of Arabic the vocalised ones."""
    task = load_task("xnli" if language == "my" else "tatoeba", "this benchmark")
    found = dict.fromkeys(example.text for example in source.load(task, "test", [language]).get(language, []))
    texts = [text for text in found if language != "ar" or is_vocalised(text)]
    return texts[:: max(1, len(texts) // most)][:most]


def is_vocalised(text: str) -> bool:
    """Whether an Arabic text is written with its vowels."""
    return len(_MARK.findall(text)) >= VOCALISED * len(_LETTER.findall(text)) > 0


def table(source: DataSource, most: int) -> list[str]:
    """The table in Markdown."""
    rows = [(name, texts_of(source, code, most), code) for code, name in LANGUAGES.items()]
    return [*HEAD.split("\n"), *(compared(texts, code).row(name) for name, texts, code in rows if texts)]


def main() -> None:
    """Print the table, and record it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="folder of data sets")
    parser.add_argument("--texts", type=int, default=200, help="texts a language, at most")
    parser.add_argument("--record", action="store_true", help="append the table to RESULTS.md")
    asked = parser.parse_args()
    lines = table(DataSource(asked.data_dir), asked.texts)
    if asked.record:
        record("words in other scripts", lines, "python -m benchmarks.segmentation --data-dir DIR")
    else:
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
