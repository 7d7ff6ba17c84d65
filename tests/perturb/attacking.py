"""A small English, a victim whose answer to a text depends on no other, and attacks of TextAttack's own parts."""

from __future__ import annotations

import math
import random
import zlib
from collections import OrderedDict
from functools import cache

import numpy as np
import torch

from perturb.offline import textattack

ta = textattack()

GOOD = ["lovely", "bright", "honest", "warm", "clever", "graceful", "charming", "superb"]
BAD = ["dreadful", "bleak", "crooked", "cold", "stupid", "clumsy", "boring", "miserable"]
PEOPLE = ["teacher", "neighbour", "captain", "painter", "doctor", "sailor", "baker", "singer"]
PLACES = ["harbour", "garden", "library", "market", "valley", "station", "theatre", "village"]
TIMES = ["last winter", "on Tuesday", "at half past nine", "in 1987", "once again", "before the storm"]


def sentence(rng: random.Random, good: bool) -> str:
    """A sentence of one opinion, now and then with a word of the other."""
    own, other = (GOOD, BAD) if good else (BAD, GOOD)
    first, second = rng.sample(own, 2)
    person, place, time = rng.choice(PEOPLE), rng.choice(PLACES), rng.choice(TIMES)
    return rng.choice([
        f"The {person} said the {place} was {first} and {second}, {time}.",
        f"{time.capitalize()}, a {first} {person} came to our {second} {place}.",
        f"I don't know why, but the {person}'s {place} isn't {rng.choice(other)}: it's {first} and {second}!",
        f"What a {first} {person}! We met in the {second} {place} {time}.",
        f"It was (so they say) a {first}, {second} {place}; the {person} agreed.",
    ])  # fmt: skip


def examples(count: int, seed: str = "attack"):
    """Single sentences, pairs, and some with a wrong label, which attacks skip."""
    rng = random.Random(seed)
    for i in range(count):
        good = rng.random() < 0.5
        text = sentence(rng, good)
        if i % 3 == 2:
            text = OrderedDict(premise=text, hypothesis=sentence(rng, good))
        yield f"{seed}-{i}", text, int(good) if i % 10 else 1 - int(good)


def features(text: str) -> list[int]:
    padded = f" {text.lower()} "
    return sorted({place(padded[i : i + n]) for n in (2, 3, 4) for i in range(len(padded) - n)})


@cache
def place(gram: str) -> int:
    return zlib.crc32(gram.encode()) % 1024


@cache
def opinion(text: str) -> float:
    return math.fsum(weights()[features(text)].tolist())


@cache
def weights() -> np.ndarray:
    """Ridge regression of the opinion on character n-grams, 1024 hashed ones."""
    rng = random.Random("train")
    rows, targets = np.zeros((400, 1024)), np.zeros(400)
    for row in range(400):
        good = rng.random() < 0.5
        rows[row, features(sentence(rng, good))] = 1
        targets[row] = 1 if good else -1
    return np.linalg.solve(rows.T @ rows + 3 * np.eye(1024), rows.T @ targets)


class Ngrams:
    """The victim. Each text is added up alone, so its answer is the same to the last bit in every batch."""

    def __init__(self) -> None:
        self.model = self
        self.asked: list[int] = []
        """How many texts came in each call."""

    def __call__(self, inputs):
        self.asked.append(len(inputs))
        rows = []
        for one in inputs:
            texts = one if isinstance(one, tuple) else (one,)
            value = sum(map(opinion, texts)) / len(texts)
            rows.append([-2 * value, 2 * value])
        return torch.tensor(rows, dtype=torch.float64)


SWAPS = {
    "homoglyph": lambda: ta.transformations.WordSwapHomoglyphSwap(random_one=False),
    "neighbour": lambda: ta.transformations.WordSwapNeighboringCharacterSwap(random_one=False),
    "qwerty": lambda: ta.transformations.WordSwapQWERTY(random_one=False),
    "deletion": lambda: ta.transformations.WordSwapRandomCharacterDeletion(random_one=False),
}
SEARCHES = {
    "unk": lambda: ta.search_methods.GreedyWordSwapWIR(wir_method="unk"),
    "delete": lambda: ta.search_methods.GreedyWordSwapWIR(wir_method="delete"),
    "greedy": ta.search_methods.GreedySearch,
    "beam": lambda: ta.search_methods.BeamSearch(beam_width=4),
}


def build(swaps, search, victim=None, *, distance=30, budget=float("inf"), whole=True):
    """An attack of TextAttack's own deterministic parts; with `whole=False` without the random ones' constraints."""
    made = [SWAPS[name]() if isinstance(name, str) else name for name in swaps]
    transformation = made[0] if len(made) == 1 else ta.transformations.CompositeTransformation(made)
    constraints = [
        ta.constraints.pre_transformation.RepeatModification(),
        ta.constraints.pre_transformation.StopwordModification(),
    ]
    if whole:
        constraints.append(ta.constraints.overlap.LevenshteinEditDistance(distance))
    goal = ta.goal_functions.UntargetedClassification(victim or Ngrams(), query_budget=budget)
    return ta.Attack(goal, constraints, transformation, SEARCHES[search]() if isinstance(search, str) else search)


def figures(result):
    """All that is known of a result."""
    if isinstance(result, Exception):
        return repr(result)
    one, two = result.original_result, result.perturbed_result
    return (
        type(result).__name__, result.num_queries, one.attacked_text.text, two.attacked_text.text,
        list(two.attacked_text._text_input.items()), one.score, two.score, one.output, two.output, one.goal_status,
        two.goal_status, two.raw_output.tolist(), sorted(two.attacked_text.attack_attrs["modified_indices"]),
        two.attacked_text.attack_attrs["original_index_map"].tolist(), two.num_queries, two.ground_truth_output,
    )  # fmt: skip


def alone(attack, examples):
    """TextAttack's own results, one example after the other."""
    return [attack.attack(ta.shared.AttackedText(text), label) for _, text, label in examples]
