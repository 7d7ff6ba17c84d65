"""`python -m trainables.mini LANG [N]`: check a language file and print N sentences of each template beside English."""

from __future__ import annotations

import random
import sys
from dataclasses import replace

from trainables.mini import grammar, meaning


def missing(code: str) -> list[str]:
    """What a language file lacks: concepts without words, templates, frames and forms that English has."""
    lang, english = grammar.language(code), grammar.language("en")
    found = [f"lexicon: {concept}" for concept in grammar.concept_tags() if concept not in lang._forms]
    found += [f"frames: {frame}" for frame in english.frames if frame not in lang.frames]
    for construction, forms in english.templates.items():
        have = lang.templates.get(construction, {})
        found += [f"templates: {construction}.{form}" for form in forms if form not in have]
    found += [f"function_words: {word}" for word in english.function_words if word not in lang.function_words]
    return found


def samples(code: str, count: int, seed: int = 0) -> list[tuple[str, ...]]:
    """`count` pairs (English, the language) for each kind of fact, side and form."""
    rng = random.Random(seed)
    pairs: list[tuple[str, ...]] = []
    for kind in meaning.KINDS:
        for side in (False, True) if kind in meaning.TWO_WAYS else (False,):
            for form in ("pos", "neg", "ask") if kind not in meaning.POSITIVE_ONLY else ("pos", "ask"):
                for variant in range(count):
                    fact = meaning.draw(rng, kind)
                    fact = fact if fact.negated == (form == "neg") else fact.denied()
                    said = meaning.Saying((fact,), (side,), "question" if form == "ask" else "statement", variant)
                    pairs.append((said.sentence("en").text, said.sentence(code).text))
        for asked in meaning.QUESTIONS.get(kind, {}):
            for variant in range(count):
                fact = meaning.draw(rng, kind)
                fact = replace(fact, negated=False).with_roles(**({"place": "park"} if asked == "place" else {}))
                pairs.append(tuple(meaning.question(c, fact, asked, variant).text for c in ("en", code)))
    for joined in ("and", "but"):
        facts = (meaning.draw(rng), meaning.draw(rng))
        said = meaning.Saying(facts, (False, False), joined)
        pairs.append((said.sentence("en").text, said.sentence(code).text))
    return pairs


def main(code: str, count: int = 3, seed: int = 0) -> int:
    """Print what is missing, then samples; 1 when something is missing."""
    lacking = missing(code)
    for line in lacking:
        sys.stdout.write(f"missing {line}\n")
    if lacking:
        return 1
    for english, translated in samples(code, count, seed):
        sys.stdout.write(f"{english}\n    {translated}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:4])))
