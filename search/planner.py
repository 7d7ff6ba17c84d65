"""What to run next and what became of it: strategy, stage tree and store together, without Ray.

The runner takes paths from here and reports each stage's result; the live view and the tables read its state.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from search import roots
from search.campaign import Campaign, Listener
from search.candidate import Candidate, run_name
from search.collector import Collector
from search.planned import Done, Run, Seconds
from search.scores import SCORE_KEYS, UNUSED, Row, mean_score, model_scores, rows_of
from search.stored import stored_before
from search.study import Study
from search.study_prices import StudyPrices
from search.study_prices import seconds as guessed
from search.tree import StageTree
from search.tries import MOST_PARTS, Fault, Tries
from trainables.attempt import FIRST, Attempt
from trainables.attempts import Watcher, last_words
from trainables.fusable import signature
from trainables.methods import IN_CONTEXT
from trainables.stage import Stage
from trainables.store import Store

if TYPE_CHECKING:
    from search.settings import Settings

OPEN_RUNS = 4000
"""How many runs may be planned at once: enough to find the longest waiting work, few enough to hold."""

AT_HAND = 256
"""Of so many stages the scores are kept after they were read."""

TOGETHER = 16
"""Stages that are trained together at most."""

TROUBLES = 5
"""How often in a row workers may fail to reach the store before the study is stopped."""


class Planner:
    """The state of a running study."""

    def __init__(self, study: Study, store: Store, listener: Listener = lambda event, about: None) -> None:
        """`listener` hears of stages (`stage`, `retry`, `lost`, `quarantined`, `collected`), of runs (`run`, `failed`),
        and of candidates (`proposed`, `told`)."""
        self.study, self.store = study, store
        self._listener = listener
        self.prices = StudyPrices(study, lambda: stored_before(study, store))
        self.campaign = Campaign(study.settings, study.space, self.prices, listener, study.control_runs)
        self._stored = store.keys()
        self._seconds = Seconds()
        self.tree = StageTree(self.cost, self._stored.__contains__)
        self.collector = Collector(store, self.tree, study.settings.store_budget, store.sizes)
        self.runs: dict[str, Run] = {}
        self._open: set[str] = set()
        self._means: dict[Candidate, list[float]] = defaultdict(list)  # for the live view, which asks often
        self._worked: Counter[Candidate] = Counter()  # the search's runs not all of whose stages were there
        self._controlled = 0  # such runs of the seed control
        self._ranks: dict[Candidate, int] = {}  # in the order of proposal
        self._at_hand: dict[str, list[Mapping[str, Any]]] = {}  # scores by stage
        self._alone = 0.0  # seconds that complete runs would have taken without sharing
        self.failed: dict[str, str] = {}
        self.stages: dict[str, tuple[Stage, str]] = {}
        self.done: dict[str, Done] = {}
        self.running: dict[str, str] = {}
        self.tries = Tries()
        self.held: dict[str, str] = {}  # stages that another study is at, and its worker
        self._watcher = Watcher(store)
        self._troubles = 0
        self.slots = 1  # workers that there are
        self._fuses = _fuses(study.settings)
        self._signatures: dict[str, Hashable | None] = {}
        self.stopped = ""  # why nothing more is given out
        self.quarantined: dict[str, str] = {}
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
        """The path one worker should run next; empty when nothing is ready, or when the study is stopped."""
        path = [] if self.stopped else self.tree.next_path(self.collector.pressed)
        if path and self._fuses:
            path = self._with_others(path)
        for stage in path:
            self.tree.start(stage.key)
        return path

    def _with_others(self, path: list[Stage]) -> list[Stage]:
        """A path, or its first stage and others that may be trained together with it: no more than leave as many for
        each other worker."""
        first = path[0]
        like = self._signature(first)

        def alike(stage: Stage) -> bool:
            return self._signature(stage) == like and self.tries.next(stage.key) == FIRST

        if like is None or not alike(first):
            return path
        more = self.tree.beside(alike, lambda ready: min(TOGETHER, math.ceil((1 + ready) / max(1, self.slots))) - 1)
        if not more:
            return path
        self.tree.release(stage.key for stage in path[1:])
        return [first, *more]

    def _signature(self, stage: Stage) -> Hashable | None:
        """Found once: all that are ready are asked for it whenever a path is taken."""
        if stage.key not in self._signatures:
            self._signatures[stage.key] = signature(stage)
        return self._signatures[stage.key]

    def attempt(self, key: str) -> Attempt:
        """The attempt at a stage that is given out next."""
        return self.tries.next(key)

    def stop(self, reason: str) -> None:
        """Give out nothing more; what is under way may end."""
        self.stopped = self.stopped or reason

    @property
    def idle(self) -> bool:
        """Whether a worker can be given nothing more: the study is finished, or stopped."""
        return self.finished or bool(self.stopped)

    def give_back(self, keys: Iterable[str]) -> None:
        """Stages of a path that has ended without them, because its worker was lost or a stage before them failed."""
        keys = list(keys)
        for key in keys:
            self.running.pop(key, None)
        self.tree.release(keys)

    def cost(self, stage: Stage) -> float:
        """A stage's estimated seconds: the mean of its like where one was seen, else by steps and languages."""
        seen = self._seconds.mean(stage)
        return guessed(self.study, stage) if seen is None else seen

    # --- what became of it --------------------------------------------------------------------------------------------

    def report(self, result: Mapping[str, Any]) -> None:
        """The result of one stage, as the worker returned it."""
        key = str(result["key"])
        self.running.pop(key, None)
        if "held" in result:
            self.held[key] = str(result["held"])
        elif "trouble" in result:
            self._trouble(key, str(result["trouble"]))
        elif "error" in result:
            self._report_error(key, result)
        else:
            self._report_end(key, result)

    def _report_end(self, key: str, result: Mapping[str, Any]) -> None:
        stage, label = self.stages[key]
        made, seconds = bool(result["made"]), float(result["seconds"])
        self._troubles = 0
        self.done[key] = Done(
            stage, label, made, seconds, str(result["worker"]), str(result["parent"]), int(result.get("split", 1))
        )
        if made:
            self._seconds.add(stage, seconds)
            self.collector.made(key, int(result.get("bytes", 0)))
        if stage.kind == "score" and not self._read_scores(key):
            self._discard(key)
            self._failed(key, "its scores could not be read back")
            return
        self._stored.add(key)
        self._listener("stage", {**result, "label": label, "stage": stage, "made": made, "seconds": seconds})
        if not self.tree.is_lost(key):  # it may have ended after what it hangs on was given up
            for run in self.tree.complete(key, seconds):
                self._complete(run)
        if len(self.done) in (8, 64):
            self.tree.reprice()  # the first estimates were guesses
        self.fill()
        self._collect()

    def lost(self, key: str, reason: str, fault: Fault = "error", worker: str = "", trace: str = "") -> None:
        """A stage that was begun and did not end because its worker is gone, which may have noted why."""
        noted = last_words(self.store, key)
        reason = f"{reason}: {noted}" if noted else reason
        self._listener("lost", {"label": self.stages[key][1], "reason": reason})
        self._failed(key, reason, fault, worker, trace)

    def _failed(self, key: str, reason: str, fault: Fault = "error", worker: str = "", trace: str = "") -> None:
        """An attempt that did not end well: the stage is tried again, or given up after the last."""
        stage, label = self.stages[key]
        batch = int(stage.settings.get("batch_size") or MOST_PARTS)
        if self.tries.failed(key, fault, reason, batch, worker, trace):
            now = self.tries.next(key)
            self._listener("retry", {"label": label, "reason": reason, "attempt": now.number, "split": now.split})
            self.give_back([key])
        else:
            self._give_up(key, f"{reason} ({len(self.tries.failures[key])} attempts)")

    def _report_error(self, key: str, result: Mapping[str, Any]) -> None:
        missing, reason = result.get("missing"), str(result["error"])
        worker, trace = str(result.get("worker", "")), str(result.get("trace", ""))
        # Another worker may have met the same bad weights before: what was made again since then is kept.
        if missing and not self.store.verify(str(missing)):
            self._discard(str(missing))
            for name in self.tree.forget(str(missing)):
                self._fail_run(name, f"{self.stages[str(missing)][1]}: {self.tree.lost[name]}")
        if result.get("fatal"):
            self.tries.failed(key, "error", reason, 1, worker, trace)
            self._give_up(key, reason)
        else:
            self._failed(key, reason, "memory" if result.get("oom") else "error", worker, trace)
        self.fill()

    def _trouble(self, key: str, reason: str) -> None:
        """A worker could not reach the store for long: no fault of the stage's, but of all if it goes on."""
        self._troubles += 1
        self._listener("retry", {"label": self.stages[key][1], "reason": reason, "attempt": 1, "split": 1})
        self.give_back([key])
        if self._troubles >= TROUBLES:
            self.stop(reason)

    def _give_up(self, key: str, reason: str) -> None:
        label = self.stages[key][1]
        self.quarantined[key] = reason
        self._listener("quarantined", {"key": key, "label": label, "reasons": self.tries.told(key)})
        for name in self.tree.fail(key, reason):
            self._fail_run(name, f"{label}: {reason}")
        self.fill()

    def _collect(self) -> None:
        freed = self.collector.collect()
        if freed:
            self._stored.difference_update(freed)
            self._listener("collected", {"keys": list(freed), "bytes": sum(freed.values())})

    def look(self) -> None:
        """See what became of stages that another study is at: its result is taken, or ours may begin."""
        for key, holder in list(self.held.items()):
            state = self._watcher.look(key, holder)
            if state == "held":
                continue
            del self.held[key]
            if state == "stored":
                about = {"made": False, "seconds": 0.0, "worker": holder, "parent": ""}
                self.report({"key": key, "kind": self.stages[key][0].kind, **about})
            else:
                self.tries.over(key, holder)
                self.give_back([key])

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
        self.runs[name] = Run(candidate, seed, goals, measures, trained, [stage.key for stage in stages])
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
        """Whether a stage has scores; they are at hand for a while, since its run is often complete with it."""
        scores = (self.store.record(key) or {}).get("scores")
        whole = isinstance(scores, list) and all(isinstance(row, dict) and row.keys() >= SCORE_KEYS for row in scores)
        if not scores or not whole:
            return False
        unused = UNUSED[self.study.settings.objective]
        self._at_hand[key] = [score for score in scores if score["portion"] not in unused]
        while len(self._at_hand) > AT_HAND:
            del self._at_hand[next(iter(self._at_hand))]
        return True

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
        self._alone += sum(self.cost(self.stages[key][0]) for key in run.stages)
        score = mean_score(run.rows, self.portion)
        if roots.own(run.seed, self.study.settings.seeds):  # the finals' fresh ones and the seed control's are apart
            self._means[run.candidate].append(score)
        self._listener("run", {"name": name, "score": score})
        self._close(run)

    def _scores(self, key: str) -> list[Mapping[str, Any]]:
        """A stage's scores in the portions that something is made from."""
        if key not in self._at_hand:
            self._read_scores(key)
        return self._at_hand.get(key, [])

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

    @property
    def store_bytes(self) -> int:
        """What the store holds; without a budget only what this run has put there."""
        return self.collector.bytes

    @property
    def saved(self) -> float:
        """Estimated seconds that sharing and reuse have spared so far: what complete runs would have taken alone, less
        what all stages made here took."""
        return max(0.0, self._alone - self.tree.seconds)

    def counts(self) -> dict[str, int]:
        """How many stages are in which state."""
        tree = self.tree
        return {
            "ready": tree.ready_count(), "running": len(self.running), "held": len(self.held),
            "waiting": tree.remaining - tree.ready_count() - len(self.running) - len(self.held),
            "done": tree.executed, "reused": tree.reused, "failed": len(self.quarantined),
        }  # fmt: skip

    def cost_summary(self) -> dict[str, Any]:
        """Stage counts of the manifest, and where the weights came from that stages started from."""
        made = [done for done in self.done.values() if done.made]
        return {
            "stages_naive": self.tree.naive, "stages_distinct": self.tree.distinct,
            "stages_executed": len(made), "stages_reused": self.tree.distinct - len(made),
            "failures": sum(map(len, self.tries.failures.values())),
            "parents_from": dict(sorted(Counter(done.parent_from for done in made).items())),
        }  # fmt: skip


def _fuses(settings: Settings) -> bool:
    """Whether stages may be trained together. What comes out is the same but for rounding, and on CPUs a result is
    promised to the bit: there it has to be asked for."""
    return settings.fuse == "on" or (settings.fuse == "auto" and settings.gpus_per_trial > 0)
