"""`order-search difficulty`: how hard each intermediate task is for the model, measured in English.

Every task is trained alone from the base model, on as many rows for as many steps as all others, and scored on its own
English dev set (of as many rows at most, too). Its difficulty is the error that is left, as a share of the error of
always saying what is most frequent: 0 when all is right, 1 when nothing was learned. The ratings in the task files are
a rule's (low, high); this is a measurement.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from search.candidate import Candidate
from search.order import Order
from search.plan import Plan
from search.study import Study
from trainables.errors import Mistake
from trainables.tasks import UNTRAINED, Task

if TYPE_CHECKING:
    from trainables.bench import Bench
    from trainables.examples import Example


@dataclass(frozen=True)
class Measurement:
    """One task's difficulty: mean over root seeds of its main dev score, and what that is beside the majority's."""

    task: str
    kind: str
    rating: str
    rows: int
    steps: int
    metric: str
    score: float
    majority: float
    difficulty: float


def measure(study: Study) -> list[Measurement]:
    """The measurement of every intermediate task that has labels, the easiest first. Stored stages are used again.

    Mistakes where the study asks for what cannot be, before anything is trained.
    """
    from trainables.bench import Bench, Workplace

    study.check()
    tasks = [task for task in study.intermediate if task.kind not in (*UNTRAINED, "masked_lm")]
    lacking = [task.name for task in tasks if not study.data.load(task, "dev", ["en"])]
    if lacking or not tasks:
        what = f"there is no English dev set of {', '.join(lacking)}" if lacking else "no intermediate task has labels"
        raise Mistake(what, where="--suite", right="intermediate tasks with labels and a dev set")
    rows = min(len(study.data.training(task)) for task in tasks)
    study = Study(study.settings.model_copy(update={"limit": rows}))
    place = json.loads(study.workplace())
    place["languages"] = {task.name: [] for task in tasks}
    bench = Bench(Workplace(**place))
    found = [_measure(study, bench, study.tasks[task.name]) for task in tasks]
    return sorted(found, key=lambda one: (one.difficulty, one.task))


def _measure(study: Study, bench: Bench, task: Task) -> Measurement:
    metric = "token_accuracy" if task.kind == "tagging" else "f1_em" if task.kind == "span" else "accuracy"
    values, steps = [], 0
    for seed in range(study.settings.seeds):
        candidate = Candidate(Order(((task.name,),)), *study.space.arms[0])
        train, score = Plan(study, candidate, seed).alone(task)
        bench.run(train)
        bench.run(score)
        steps = train.steps
        scores = (bench.store.record(score.key) or {})["scores"]
        values.append(next(s["value"] for s in scores if s["portion"] == "dev" and s["metric"] == metric))
    value = sum(values) / len(values)
    dev = study.data.load(task, "dev", ["en"])["en"]
    majority = majority_score(task, dev)
    left = (1 - value) / (1 - majority) if majority < 1 else 0.0
    rating = task.difficulty.rating if task.difficulty else ""
    trained = len(study.data.training(task, study.rows))
    return Measurement(task.name, task.kind, rating, trained, steps, metric, value, majority, left)


def majority_score(task: Task, examples: Sequence[Example]) -> float:
    """The score of always saying what is most frequent: a label, a tag, a place among the choices, "no answer"."""
    said: list[Any]
    match task.kind:
        case "tagging":
            said = [tag for example in examples for tag in example.tags]
        case "span":
            return sum(not example.answers for example in examples) / len(examples)
        case _:
            said = [example.label for example in examples]
    return Counter(said).most_common(1)[0][1] / len(said)


def rows_of(found: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Rows for a listing, figures to three decimals."""
    return [{k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(one).items()} for one in found]
