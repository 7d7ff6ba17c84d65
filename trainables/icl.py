"""Score a target in text form on a decoder: in context, with demonstrations before the prompt, or fine-tuned, without.

Answers are chosen by the log-likelihood of their continuations (ties fail), or generated greedily for questions about a
context. Which demonstrations stand there, and which items are scored, is in docs/icl.md.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from trainables.batches import TOKENS
from trainables.continuations import generate, logprobs
from trainables.data import DataSource
from trainables.decoder import Decoder, Prompt
from trainables.errors import Mistake
from trainables.evaluate import EvaluationSet, Portion
from trainables.examples import Example, in_search_half
from trainables.kinds import KINDS
from trainables.kinds.prompted import Prompter, figures
from trainables.metrics import mean_of
from trainables.tasks import Task
from trainables.templates import IclSettings
from trainables.watch import beating

HELD_OUT = 0.1
"""The share of test items that few-shot demonstrations are drawn from where a task has no dev set in a language."""


@dataclass(frozen=True)
class Demonstrations:
    """What demonstrations are drawn from, by language, and the test items (`Kind.unit`) that are therefore not scored.

    A language without examples of its own has English ones.
    """

    pools: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    held_out: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, data: DataSource, task: Task, training: Task | None, languages: Iterable[str], settings: IclSettings
    ) -> Demonstrations:
        """Examples of the English training set (`training` is the task that has it).

        For demonstrations in the target's language also of each language's dev set or, without one, of a part of the
        test items that is then left out everywhere.

        Mistake where there is no training set to draw English ones from.
        """
        if not settings.shots:
            return cls()
        pools: dict[str, Sequence[Example]] = {"en": data.training(training)} if training else {}
        if settings.demonstrations == "en":
            if not training:
                what = f"'{task.name}' has no English training set to draw demonstrations from"
                raise Mistake(what, where="methods.icl.shots", right="methods.icl.shots: 0, or the method icl-target")
            return cls(pools)
        others = [code for code in languages if code not in pools]
        dev = data.load(task, "dev", others) if "dev" in task.source.splits else {}
        pools |= {code: rows for code, rows in dev.items() if rows}
        lacking = data.load(task, "test", [code for code in others if code not in pools])
        held = _held_out(task, lacking)
        for code, rows in lacking.items():
            pools[code] = [example for example in rows if KINDS[task.kind].unit(example) in held]
        return cls(pools, held)

    def draw(self, task: Task, language: str, settings: IclSettings, seed: int, number: int) -> list[Example]:
        """The demonstrations of one draw, the same for all items of a language.

        English ones are the same for all languages too, so that languages are compared on equal terms.
        """
        own = language if settings.demonstrations == "target" and self.pools.get(language) else "en"
        pool = self.pools.get(own, ())
        return balanced(pool, settings.shots, random.Random(f"{seed} {task.name} {own} {number}"))


def _held_out(task: Task, rows: Mapping[str, Sequence[Example]]) -> frozenset[str]:
    """The units with the least hashes: a tenth of all, at least 16 but no more than half."""
    units = {KINDS[task.kind].unit(example) for examples in rows.values() for example in examples}
    count = min(max(16, round(HELD_OUT * len(units))), len(units) // 2)
    ordered = sorted(units, key=lambda unit: hashlib.sha256(f"demonstration {unit}".encode()).digest())
    return frozenset(ordered[:count])


def balanced(pool: Sequence[Example], count: int, rng: random.Random) -> list[Example]:
    """So many examples at random, of each label as many as of any other as far as that goes, in any order."""
    groups: dict[str | None, list[Example]] = defaultdict(list)
    for example in rng.sample(pool, len(pool)):
        groups[example.label].append(example)
    turns = rng.sample(sorted(groups, key=str), len(groups))
    chosen: list[Example] = []
    while len(chosen) < min(count, len(pool)):
        for label in turns:
            if groups[label] and len(chosen) < count:
                chosen.append(groups[label].pop())
    return rng.sample(chosen, len(chosen))


# --- scoring ----------------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """A portion of the scored examples in one language, and each one's figures in every draw."""

    portion: Portion
    language: str
    examples: list[Example]
    draws: list[list[dict[str, float]]]


@torch.no_grad()
def evaluate_icl(
    model: Decoder,
    task: Task,
    sets: Sequence[EvaluationSet],
    demonstrations: Demonstrations,
    settings: IclSettings,
    seed: int,
    longest: int | None = None,
    figure: str | None = None,
    split: int = 1,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of scores and rows of predictions as of `evaluate`, with demonstrations drawn `settings.draws` times.

    A value is the mean over draws, an item's too, and standard errors are over items' means. Each draw's own value of
    the main metric stands in rows `accuracy_draw_1`, `accuracy_draw_2`, … which are not main. Without demonstrations
    (`shots: 0`, or none to draw from) there is one draw and no such rows. The sets' `features` are not read. Prompts
    have at most `longest` tokens with their answers, as many as the model reads where that is not given. `figure` says
    which metric's the items' are, where it is not the main one's. Batches are the `split`-th part of the usual size.
    """
    model.eval()
    longest = longest or model.positions
    parts = [
        _scored(model, task, part, demonstrations, settings, seed, longest, split)
        for part in sets
        if part.portion != "threshold"
    ]
    scores: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    for part in parts:
        for portion, keep in _portions(task, part):
            scores += _rows(part, portion, keep)
        items += [
            {"portion": part.portion, "language": part.language, "id": example.id, "score": _mean(part, place, figure)}
            for place, example in enumerate(part.examples)
        ]
    return scores, items


def _scored(
    model: Decoder,
    task: Task,
    part: EvaluationSet,
    demonstrations: Demonstrations,
    settings: IclSettings,
    seed: int,
    longest: int,
    split: int,
) -> _Part:
    unit = KINDS[task.kind].unit
    held = demonstrations.held_out if part.portion == "test" else frozenset()
    examples = [example for example in part.examples if unit(example) not in held]
    drawn = [demonstrations.draw(task, part.language, settings, seed, n + 1) for n in range(settings.draws)]
    if not any(drawn):
        drawn = drawn[:1]
    draws = []
    for shown in drawn:
        predictions = predict(model, task, examples, shown, settings, longest, split)
        draws.append([figures(task, e, p) for e, p in zip(examples, predictions, strict=True)])
    return _Part(part.portion, part.language, examples, draws)


def predict(
    model: Decoder,
    task: Task,
    examples: Sequence[Example],
    shown: Sequence[Example],
    settings: IclSettings,
    longest: int | None = None,
    split: int = 1,
) -> list[Any]:
    """The prediction of each example after the demonstrations: a label, the index of a choice, or an answer's text.

    None where two labels or choices are equally likely, which counts as wrong.
    """
    texts = model.texts
    prompter = Prompter(task, texts, longest or model.positions)
    before = [prompter.template.demonstration(task, example) for example in shown]
    lead = texts.prompt("".join(before)) if before else []
    if task.kind == "span":
        prompts = [prompter.question(example, before, settings.max_new_tokens) for example in beating(examples)]
        answers = generate(model, prompts, settings.max_new_tokens, TOKENS // split)
        return [prompter.answer(answer, example) for answer, example in zip(answers, examples, strict=True)]
    best = [choose(row) for row in likelihoods(model, prompter, examples, before, lead, settings, split)]
    return [None if n is None else task.labels[n] if task.kind == "classification" else n for n in best]


def likelihoods(
    model: Decoder,
    prompter: Prompter,
    examples: Sequence[Example],
    before: Sequence[str],
    lead: Sequence[int],
    settings: IclSettings,
    split: int = 1,
) -> list[list[float]]:
    """The score of each label or choice of each example, by `settings.score`."""
    if settings.score == "pmi":
        return _calibrated(model, prompter, examples, before, lead, split)
    prompts = [prompter.prompt(example, before) for example in beating(examples)]
    found = _sums(model, prompts, lead, split)
    match settings.score:
        case "token":
            sizes = [[len(answer) for answer in prompt.answers] for prompt in prompts]
        case "byte":
            sizes = [[len(text.encode()) for text in prompter.continuations(example)] for example in examples]
        case _:
            return found
    return [[a / b for a, b in zip(*pair, strict=True)] for pair in zip(found, sizes, strict=True)]


def _sums(model: Decoder, prompts: Sequence[Prompt], lead: Sequence[int], split: int) -> list[list[float]]:
    """The log-likelihood of each answer of each prompt."""
    return [[math.fsum(tokens) for tokens in row] for row in logprobs(model, prompts, lead, TOKENS // split)]


def _calibrated(
    model: Decoder, prompter: Prompter, examples: Sequence[Example], before: Sequence[str], lead: Sequence[int],
    split: int,
) -> list[list[float]]:  # fmt: skip
    """Less what each answer has after the same demonstrations and a prompt that says nothing."""
    pairs = [prompter.with_empty(example, before) for example in beating(examples)]
    keys = [str(empty) for _, empty in pairs]  # most examples share it
    distinct = {key: empty for key, (_, empty) in zip(keys, pairs, strict=True)}
    prior = dict(zip(distinct, _sums(model, list(distinct.values()), lead, split), strict=True))
    found = _sums(model, [prompt for prompt, _ in pairs], lead, split)
    return [[a - b for a, b in zip(row, prior[key], strict=True)] for row, key in zip(found, keys, strict=True)]


def choose(scores: Sequence[float]) -> int | None:
    """The place of the highest score, None where several share it."""
    best = max(scores)
    return scores.index(best) if list(scores).count(best) == 1 else None


# --- rows -------------------------------------------------------------------------------------------------------------


def _portions(task: Task, part: _Part) -> Iterator[tuple[Portion, list[int]]]:
    """The part itself and, of a test set, its two halves: which examples belong to each."""
    every = list(range(len(part.examples)))
    yield part.portion, every
    if part.portion == "test":
        unit = KINDS[task.kind].unit
        half = [in_search_half(unit(example)) for example in part.examples]
        for portion, wanted in (("search", True), ("report", False)):
            if keep := [place for place in every if half[place] == wanted]:
                yield portion, keep


def _rows(part: _Part, portion: Portion, keep: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The rows of scores of one portion, the main metric first."""
    names = list(part.draws[0][0]) if part.examples else []
    columns = {name: [[draw[place][name] for draw in part.draws] for place in keep] for name in names}
    means = [mean_of(name, [math.fsum(row) / len(row) for row in rows]) for name, rows in columns.items()]
    if names and len(part.draws) > 1:
        main = columns[names[0]]
        means += [mean_of(f"{names[0]}_draw_{n + 1}", [row[n] for row in main]) for n in range(len(part.draws))]
    for place, figure in enumerate(means):
        yield {
            "language": part.language, "portion": portion, "metric": figure.metric, "main": place == 0,
            "value": figure.value, "n": figure.n, "stderr": figure.stderr,
        }  # fmt: skip


def _mean(part: _Part, place: int, figure: str | None) -> float:
    """An item's figure, the main one where none is named, the mean over draws."""
    values = [draw[place][figure or next(iter(draw[place]))] for draw in part.draws]
    return math.fsum(values) / len(values)
