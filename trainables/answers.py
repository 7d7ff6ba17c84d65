"""Exact match and F1 of answers, as the official scripts of SQuAD v1.1, SQuAD v2.0 and MLQA count them."""

from __future__ import annotations

import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

MLQA_ARTICLES = {
    "en": r"\b(a|an|the)\b",
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "ar": "ال",
}
"""What MLQA's script takes for articles. Its Arabic pattern removes the article wherever the letters stand."""

_SQUAD_PUNCTUATION = str.maketrans("", "", string.punctuation)


def answer_scores(metric: str, predicted: str, gold: Sequence[str], language: str) -> tuple[float, float]:
    """F1 and exact match of an answer against the accepted ones, the best of them.

    `metric` is `squad` (v1.1; also XTREME's for XQuAD and TyDiQA, with English rules in every language), `squad_v2`
    (an empty answer is right where there is none) or `mlqa` (articles and word boundaries of the language).
    """
    if metric == "squad_v2":
        accepted = [answer for answer in gold if _words(metric, answer, language)] or [""]
    else:
        accepted = list(gold)
    pairs = [_compare(metric, predicted, answer, language) for answer in accepted]
    return max((f1 for f1, _ in pairs), default=0.0), max((exact for _, exact in pairs), default=0.0)


def _compare(metric: str, predicted: str, gold: str, language: str) -> tuple[float, float]:
    one, two = _words(metric, predicted, language), _words(metric, gold, language)
    exact = float(one == two)
    if metric == "squad_v2" and not (one and two):
        return exact, exact
    same = sum((Counter(one) & Counter(two)).values())
    if not same:
        return 0.0, exact
    # From precision and recall, as the scripts have it: 2 · same / (both lengths) differs from that in the last bit.
    precision, recall = same / len(one), same / len(two)
    return 2 * precision * recall / (precision + recall), exact


def _words(metric: str, text: str, language: str) -> list[str]:
    """Lower case, without punctuation and articles, as words (in Chinese as characters)."""
    if metric != "mlqa":
        text = text.lower().translate(_SQUAD_PUNCTUATION)
        return re.sub(MLQA_ARTICLES["en"], " ", text).split()
    text = text.lower().translate(_unicode_punctuation())
    if language in MLQA_ARTICLES:
        text = re.sub(MLQA_ARTICLES[language], " ", text)
    return re.sub(r"([\u4e00-\u9fa5])", r" \1 ", text).split() if language == "zh" else text.split()


@cache
def _unicode_punctuation() -> dict[int, None]:
    marks = {i for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P")}
    return dict.fromkeys(marks | set(map(ord, string.punctuation)))
