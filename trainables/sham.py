"""Sham tasks: training examples whose labels say nothing of them, as a control (Pruksachatkun et al. 2020; 2108.11696).

A sham stage trains on the same text for as long as the real one; what it changes in a model is not what the task
teaches. Labels keep their frequencies, and which goes where is a function of the task's name.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from trainables.examples import Answer, Example
from trainables.tasks import Task


def shuffled(task: Task, examples: Sequence[Example]) -> list[Example]:
    """The examples with their labels, tags or answers exchanged at random."""
    rng = random.Random(f"sham {task.name}")
    match task.kind:
        case "tagging":
            tags = [tag for example in examples for tag in example.tags]
            rng.shuffle(tags)
            rest = iter(tags)
            return [replace(example, tags=tuple(next(rest) for _ in example.tags)) for example in examples]
        case "span":
            return [_elsewhere(rng, example) for example in examples]
        case "choice":
            return [replace(example, label=str(rng.randrange(len(example.choices)))) for example in examples]
        case _:
            labels = [example.label for example in examples]
            rng.shuffle(labels)
            return [replace(example, label=label) for example, label in zip(examples, labels, strict=True)]


def _elsewhere(rng: random.Random, example: Example) -> Example:
    """The question with another piece of its context for an answer, of about as many words."""
    context = example.pair or ""
    words = [match.span() for match in re.finditer(r"\S+", context)]
    if not example.answers or not words:
        return example
    length = min(len(example.answers[0].text.split()), len(words)) or 1
    first = rng.randrange(len(words) - length + 1)
    start, end = words[first][0], words[first + length - 1][1]
    return replace(example, answers=(Answer(context[start:end], start),))
