"""Which words translate which, learned from parallel text: IBM model 1 (Brown et al. 1993, CL 19:2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence


def best_translations(
    pairs: Iterable[tuple[Sequence[str], Sequence[str]]], *, rounds: int = 4, least: float = 0.2
) -> dict[str, str]:
    """For each word of the second sides the word of the first sides that most likely gave rise to it.

    `pairs` are sentences as lists of words. Words whose best translation has a probability below `least` are left out.
    """
    corpus = [(list(dict.fromkeys(first)), list(dict.fromkeys(second))) for first, second in pairs]
    seen: dict[str, set[str]] = defaultdict(set)
    for first, second in corpus:
        for word in second:
            seen[word].update(first)
    # t[f][e]: the probability that the word e of the first side gives the word f of the second.
    t = {f: dict.fromkeys(words, 1.0) for f, words in seen.items()}
    for _ in range(rounds):
        count: dict[str, dict[str, float]] = {f: defaultdict(float) for f in t}
        total: dict[str, float] = defaultdict(float)
        for first, second in corpus:
            for f in second:
                row = t[f]
                share = 1.0 / sum(row[e] for e in first)
                for e in first:
                    part = row[e] * share
                    count[f][e] += part
                    total[e] += part
        t = {f: {e: value / total[e] for e, value in row.items()} for f, row in count.items()}
    found = {}
    for f, row in count.items():
        best = max(row, key=lambda e: (row[e], e))
        if row[best] / sum(row.values()) >= least:
            found[f] = best
    return found
