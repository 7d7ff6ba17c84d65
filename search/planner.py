"""What to run next and what became of it: strategy, stage tree and store together, without Ray.

The runner takes paths from here and reports each stage's result; the live view and the tables read its state.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from search import roots
from search.campaign import Campaign, Listener
from search.candidate import Candidate, run_name
from search.scores import SCORE_KEYS, UNUSED, Row, mean_score, model_scores, rows_of
from search.stored import stored_before
from search.study import Study
from search.study_prices import StudyPrices
from search.study_prices import seconds as guessed
from search.tree import StageTree
from trainables.methods import IN_CONTEXT
from trainables.stage import Stage
from trainables.store import Store

ATTEMPTS = 3
"""How often a stage is tried before its candidates are given up."""

OPEN_RUNS = 4000
"""How many runs may be planned at once: enough to find the longest waiting work, few enough to hold."""


@dataclass
class Run:
    """One candidate at one root seed: its scores by target, what is measured besides (task, key, and after which of its
    stages, where that is not the last), the target's training stages, and the rows of what is done."""

    candidate: Candidate
    seed: int
    goals: dict[str, str]
    measures: list[tuple[str, str, str]]
    trained: dict[str, str]
    stages: int
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Done:
    """A stage that came to an end in this run: `made` here, or found in the store."""

    stage: Stage
    label: str
    made: bool
    seconds: float
    worker: str
    parent_from: str


class Planner:
    """The state of a running study."""

    def __init__(self, study: Study, store: Store, listener: Listener = lambda event, about: None) -> None:
        """`listener` hears of `stage`, `run`, `failed` and `retry`, and of candidates `proposed` and `told`."""
        self.study, self.store = study, store
        self._listener = listener
        self.prices = StudyPrices(study, lambda: stored_before(study, store))
        self.campaign = Campaign(study.settings, study.space, self.prices, listener, study.control_runs)
        self._stored = store.keys()
        self._seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self.tree = StageTree(self.cost, self._stored.__contains__)
        self.runs: dict[str, Run] = {}
        self._open: set[str] = set()
        self._means: dict[Candidate, list[float]] = defaultdict(list)  # for the live view, which asks often
        self._worked: Counter[Candidate] = Counter()  # the search's runs not all of whose stages were there
        self._controlled = 0  # such runs of the seed control
        self._ranks: dict[Candidate, int] = {}  # in the order of proposal
        self.failed: dict[str, str] = {}
        self.stages: dict[str, tuple[Stage, str]] = {}
        self.done: dict[str, Done] = {}
        self.running: dict[str, str] = {}
        self._attempts: dict[str, int] = defaultdict(int)
        self.fill()

    # --- what to run --------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Plan runs until there are enough, or none can be named now."""
        while len(self._open) < OPEN_RUNS and (run := self.campaign.next()) is not None:
            self._add(*run)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run and nothing more will be proposed."""
        return not self._open and self.campaign.finished

    @property
    def candidates(self) -> list[Candidate]:
        """All that were proposed, in that order."""
        return self.campaign.proposed

    def take(self) -> list[Stage]:
        """The path one worker should run next; empty when nothing is ready."""
        path = self.tree.next_path()
        for stage in path:
            self.tree.start(stage.key)
        return path

    def give_back(self, keys: Iterable[str]) -> None:
        """Stages of a path that has ended without them, because its worker was lost or a stage before them failed."""
        keys = list(keys)
        for key in keys:
            self.running.pop(key, None)
        self.tree.release(keys)

    def cost(self, stage: Stage) -> float:
        """A stage's estimated seconds: the mean of its like where one was seen, else by steps and languages."""
        seen = self._seconds.get(_alike(stage))
        if seen:
            return sum(seen) / len(seen)
        return guessed(self.study, stage)

    # --- what became of it --------------------------------------------------------------------------------------------

    def report(self, result: Mapping[str, Any]) -> None:
        """The result of one stage, as the worker returned it."""
        key = str(result["key"])
        self.running.pop(key, None)
        if "error" in result:
            self._report_error(key, result)
            return
        stage, label = self.stages[key]
        made, seconds = bool(result["made"]), float(result["seconds"])
        self.done[key] = Done(stage, label, made, seconds, str(result["worker"]), str(result["parent"]))
        if made:
            self._seconds[_alike(stage)].append(seconds)
        if stage.kind == "score" and not self._read_scores(key):
            self._discard(key)
            self.lost(key, "its scores could not be read back")
            return
        self._stored.add(key)
        self._listener("stage", {"label": label, "stage": stage, "made": made, "seconds": seconds})
        if not self.tree.is_lost(key):  # it may have ended after what it hangs on was given up
            for run in self.tree.complete(key, seconds):
                self._complete(run)
        if len(self.done) in (8, 64):
            self.tree.reprice()  # the first estimates were guesses
        self.fill()

    def lost(self, key: str, reason: str) -> None:
        """A stage that was begun and did not end: it is tried again, or given up after the last attempt."""
        self._attempts[key] += 1
        if self._attempts[key] < ATTEMPTS:
            self._listener(
                "retry", {"label": self.stages[key][1], "reason": reason, "attempt": self._attempts[key] + 1}
            )
            self.give_back([key])
        else:
            self._give_up(key, f"{reason} ({ATTEMPTS} attempts)")

    def _report_error(self, key: str, result: Mapping[str, Any]) -> None:
        missing = result.get("missing")
        # Another worker may have met the same bad weights before: what was made again since then is kept.
        if missing and not self.store.verify(str(missing)):
            self._discard(str(missing))
            for name in self.tree.forget(str(missing)):
                self._fail_run(name, f"{self.stages[str(missing)][1]}: {self.tree.lost[name]}")
        if result["fatal"]:
            self._give_up(key, str(result["error"]))
        else:
            self.lost(key, str(result["error"]))
        self.fill()

    def _give_up(self, key: str, reason: str) -> None:
        label = self.stages[key][1]
        for name in self.tree.fail(key, reason):
            self._fail_run(name, f"{label}: {reason}")
        self.fill()

    # --- runs ---------------------------------------------------------------------------------------------------------

    def _add(self, candidate: Candidate, seed: int) -> None:
        urgent = None
        if not roots.control(seed):
            rank = self._ranks.setdefault(candidate, len(self._ranks))
            urgent = rank if rank < self.study.space.baselines else None
        name = run_name(candidate, seed)
        self._open.add(name)
        planned = self.study.planned(candidate, seed)
        stages = [one.stage for one in planned]
        own = {one.stage.tasks[0]: one.stage for one in planned if one.stage.kind == "score" and not one.stage.measure}
        measures = [(one.stage.tasks[0], one.stage.key, one.after) for one in planned if one.stage.measure]
        goals = {target: stage.key for target, stage in own.items()}
        trained = {t: stage.parent for t, stage in own.items() if stage.parent and stage.method not in IN_CONTEXT}
        self.runs[name] = Run(candidate, seed, goals, measures, trained, len(stages))
        for stage, label, _ in planned:
            self.stages.setdefault(stage.key, (stage, f"{label} #{seed}"))
        for key in (*goals.values(), *(key for _, key, _ in measures)):
            if key in self._stored and not (self.store.verify(key) and self._read_scores(key)):
                self._discard(key)
        if self.tree.add(name, stages, urgent):
            self._complete(name)
            return
        if roots.control(seed):
            self._controlled += 1
        else:
            self._worked[candidate] += 1
        if name in self.tree.lost:
            self._fail_run(name, self.tree.lost[name])

    def _discard(self, key: str) -> None:
        """Take a stage that cannot be read out of the store, so that it is made again."""
        self.store.discard(key)
        self._stored.discard(key)

    def _read_scores(self, key: str) -> bool:
        scores = (self.store.record(key) or {}).get("scores")
        whole = isinstance(scores, list) and all(isinstance(row, dict) and row.keys() >= SCORE_KEYS for row in scores)
        return bool(scores) and whole

    def _complete(self, name: str) -> None:
        run = self.runs[name]
        for target, key in run.goals.items():
            apart = self.study.apart.get(target, ())
            run.rows += rows_of(run.candidate, run.seed, target, self._scores(key), apart)
            if target in run.trained:
                parent = self.store.record(run.trained[target]) or {}
                run.rows += rows_of(run.candidate, run.seed, target, model_scores(parent))
        for task, key, after in run.measures:
            measured = self._scores(key)
            apart = () if after else self.study.apart.get(task, ())
            run.rows += rows_of(run.candidate, run.seed, task, measured, apart, stage=after)
        score = mean_score(run.rows, self.portion)
        if roots.own(run.seed, self.study.settings.seeds):  # the finals' fresh ones and the seed control's are apart
            self._means[run.candidate].append(score)
        self._listener("run", {"name": name, "score": score})
        self._close(run)

    def _scores(self, key: str) -> list[Mapping[str, Any]]:
        """A stage's scores in the portions that something is made from."""
        unused = UNUSED[self.study.settings.objective]
        return [score for score in (self.store.record(key) or {}).get("scores", []) if score["portion"] not in unused]

    def _fail_run(self, name: str, reason: str) -> None:
        self.failed[name] = reason
        self._listener("failed", {"name": name, "reason": reason})
        self._close(self.runs[name])

    def _close(self, run: Run) -> None:
        name = run_name(run.candidate, run.seed)
        if name in self._open:
            self._open.remove(name)
            self.campaign.done((run.candidate, run.seed), None if name in self.failed else run.rows)

    # --- what others read ---------------------------------------------------------------------------------------------

    @property
    def portion(self) -> str:
        """The portion of the test items that ranks are made from: the half no selection has seen, under target-dev."""
        return "report" if self.study.settings.objective == "target-dev" else "test"

    @property
    def rows(self) -> list[Row]:
        """The score rows of all complete runs, by candidate and seed in the order they were proposed, the seed
        control's last."""
        return [row for run in sorted(self.runs.values(), key=lambda run: roots.control(run.seed)) for row in run.rows]

    @property
    def varied(self) -> bool:
        """Whether more than the order varies in this study."""
        return len(self.study.space.arms) > 1

    def standings(self) -> list[tuple[Candidate, float, int]]:
        """Candidates with at least one complete run: mean zero-shot score and number of roots, best first."""
        table = [(candidate, sum(means) / len(means), len(means)) for candidate, means in self._means.items()]
        return sorted(table, key=lambda entry: -entry[1])

    def to_come(self) -> float:
        """Estimated seconds of candidates that are still to be proposed: as many as the strategy may ask for, each at
        the mean of those so far that were not in the store already; 0 where their number is not known."""
        if not self._worked:
            return 0.0
        runs = self._worked.total()
        searched = (self.tree.seconds + self.tree.remaining_cost()) * runs / (runs + self._controlled)
        return (self.campaign.strategy.left or 0) * searched / len(self._worked)

    def cost_summary(self) -> dict[str, int]:
        """Stage counts of the manifest."""
        made = sum(done.made for done in self.done.values())
        return {
            "stages_naive": self.tree.naive, "stages_distinct": self.tree.distinct,
            "stages_executed": made, "stages_reused": self.tree.distinct - made,
        }  # fmt: skip


def _alike(stage: Stage) -> tuple[str, ...]:
    """What stages have in common that take about as long as one another."""
    return stage.kind, *stage.tasks, *(str(stage.settings.get(key) or "") for key in ("measure", "suite", "attack"))
