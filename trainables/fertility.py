"""Fertility: tokens a word, by language and by script. How finely a tokenizer cuts a language up (arXiv 2012.15613).

Words are ICU's, which knows words of scripts without spaces (Thai, Chinese, Japanese, Khmer, Burmese) by dictionary;
stretches of punctuation and blanks are none.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainables.languages import LANGUAGES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from trainables.evaluate import EvaluationSet

PORTION = "representations"
"""Portion of rows that say something of the model and are no score of a target."""

SCRIPT = "script:"
"""What stands before a script's name where a language's code would: `script:Cyrillic`."""


def words(text: str, language: str) -> list[str]:
    """The words of a text: ICU's segments that hold a letter or a digit."""
    from icu4py.breakers import WordBreaker

    return [segment for segment in WordBreaker(text, language) if any(map(str.isalnum, segment))]


def measure(tokenizer: PreTrainedTokenizerBase, sets: Sequence[EvaluationSet]) -> list[dict[str, Any]]:
    """A row of scores a language of a retrieval target: tokens over words of its sentences, special tokens left out.

    English, on whose side the translations stand, has none, nor has a language without words. `n` is the number of
    words; the standard error is that of a ratio of sums over sentences (linearisation; Cochran, Sampling Techniques,
    6.4), None below two.
    """
    rows = []
    for part in sets:
        if part.portion != "test" or part.language == "en" or not part.examples:
            continue
        texts = [example.text for example in part.examples]
        ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        sizes = [len(words(text, part.language)) for text in texts]
        if sum(sizes):
            rows.append(_row(part.language, list(map(len, ids)), sizes))
    return rows


def by_script(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row of scores a script: the mean over its languages in `rows`, and `n`, their words together.

    The standard error is over sentences, the languages being fixed; None where one of them has none. Rows of other
    metrics are passed over; a language without an entry in configs/languages.yaml stands under `script:unknown`.
    """
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["metric"] == "fertility":
            code = row["language"]
            found[LANGUAGES[code].script if code in LANGUAGES else "unknown"].append(row)
    return [_mean(f"{SCRIPT}{script}", own) for script, own in sorted(found.items())]


def _mean(name: str, own: Sequence[dict[str, Any]]) -> dict[str, Any]:
    errors = [row["stderr"] for row in own]
    return {
        "language": name, "portion": PORTION, "metric": "fertility", "main": False,
        "value": math.fsum(row["value"] for row in own) / len(own), "n": sum(row["n"] for row in own),
        "stderr": None if None in errors else math.hypot(*errors) / len(own),
    }  # fmt: skip


def _row(language: str, tokens: Sequence[int], sizes: Sequence[int]) -> dict[str, Any]:
    value, texts = sum(tokens) / sum(sizes), len(sizes)
    stderr = None
    if texts > 1:
        rest = math.fsum((count - value * size) ** 2 for count, size in zip(tokens, sizes, strict=True))
        stderr = math.sqrt(rest / (texts - 1) * texts) / sum(sizes)
    return {
        "language": language, "portion": PORTION, "metric": "fertility", "main": False,
        "value": value, "n": sum(sizes), "stderr": stderr,
    }  # fmt: skip
