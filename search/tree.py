"""The stage tree: all stages of all candidates, merged where they are the same.

It knows what must still be run, what can be run now, what a further candidate would cost, and which path of stages a
free worker should take: the baselines first, then the longest work still waiting (critical path first, as in Hippo,
PVLDB 15(5), 2022). Score stages are the goals. A train stage is *needed* only if a goal below it still has to be run
and no ancestor nearer to that goal is stored: weights that were collected are not made again for scores that exist.
A goal may need the weights of a second stage above it, for a task's head (`Stage.head_from`): it waits for both.

The tree runs nothing, reads no clock and draws no random number: equal calls give equal answers. Nothing recurses, so
chains may be as deep as they like. Costs are the caller's estimates, in seconds.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType

from trainables.stage import Stage


class _Status(IntEnum):
    IDLE = 0  # known, but no goal that has to be run needs it
    WAITING = 1  # needed, and nobody's yet
    CLAIMED = 2  # on a worker's path
    RUNNING = 3
    DONE = 4  # run here
    STORED = 5  # found in the store
    LOST = 6  # it failed, or something above it did


@dataclass(slots=True, eq=False)
class _Node:
    stage: Stage
    parent: _Node | None
    number: int  # in the order of arrival, so a parent's is smaller than its children's
    head: _Node | None = None  # an ancestor further up whose weights it needs too
    children: list[_Node] = field(default_factory=list)
    borrowers: list[_Node] = field(default_factory=list)  # whose `head` it is
    runs: list[str] = field(default_factory=list)  # of a goal that is pending: who waits for it
    status: _Status = _Status.IDLE
    cost: float = 0.0
    longest: float = 0.0  # the costliest pending chain from here to a leaf, this stage included
    urgent: float = math.inf
    depth: int = 0  # stages above it
    reason: str = ""  # of a lost stage

    @property
    def pending(self) -> bool:
        return _Status.WAITING <= self.status <= _Status.RUNNING

    @property
    def available(self) -> bool:
        return self.status is _Status.DONE or self.status is _Status.STORED

    @property
    def startable(self) -> bool:
        """Whether all that it starts from is there."""
        return all(node is None or node.available for node in (self.parent, self.head))

    @property
    def dependants(self) -> list[_Node]:
        """What is still to be run and needs this stage's weights."""
        return [node for node in (*self.children, *self.borrowers) if node.pending]

    @property
    def rank(self) -> tuple[float, float, int]:
        """The smallest runs first: most urgent, then most work below, then first come."""
        return self.urgent, -self.longest, self.number

    def longest_below(self) -> float:
        return max((child.longest for child in self.children if child.pending), default=0.0)


class StageTree:
    """Merges the stages of runs (a candidate with one seed each) and hands out paths of them to workers.

    `cost` estimates a stage's seconds; it is asked when a stage becomes needed, and again by `reprice`. `stored` says
    whether a stage's output is in the store; the tree asks once a stage and believes it until `forget`.
    """

    def __init__(self, cost: Callable[[Stage], float], stored: Callable[[str], bool]) -> None:
        self._cost, self._stored = cost, stored
        self._nodes: dict[str, _Node] = {}
        self._by_number: list[_Node] = []
        self._open: dict[str, int] = {}  # goals still to be done, by run
        self._lost: dict[str, str] = {}  # reason by run
        self._pending: dict[str, _Node] = {}
        self._ready: set[_Node] = set()  # never iterated where its arbitrary order could show
        # Entries are never removed or changed; one counts only while its node is ready and still has that rank.
        self._heap: list[tuple[float, float, int]] = []
        self._counts: Counter[_Status] = Counter()
        self._naive = 0
        self._executed = 0
        self._seconds = 0.0

    # Planning --------------------------------------------------------------------------------------------------------

    def add(self, run: str, stages: Sequence[Stage], urgent: int | None = None) -> bool:
        """Merge a run's stages, parents first; True if it is complete at once because all its goals exist.

        `urgent` is its rank among the baselines, 0 first; None for an ordinary run. A run that needs a stage already
        lost is not refused but at once among `lost`. Raises ValueError, and changes nothing, for a run added before,
        one without a score stage, or a stage that needs one which comes neither earlier in `stages` nor in the tree.
        """
        if run in self._open:
            raise ValueError(f"run '{run}' is already in the tree")
        self._check(f"run '{run}'", stages)
        nodes = {stage.key: self._merge(stage) for stage in stages}
        self._naive += len(nodes)
        if urgent is not None:
            for node in nodes.values():
                self._hurry(node, urgent)
        self._open[run] = 0
        for node in nodes.values():
            if node.stage.kind == "score":
                self._aim(run, node)
        return self._open[run] == 0

    def reprice(self) -> None:
        """Ask `cost` anew for every stage still to be run, after estimates have moved; O(stages)."""
        for node in reversed(self._by_number):
            if node.pending:
                node.cost = self._cost(node.stage)
                node.longest = node.cost + node.longest_below()
        self._heap = [node.rank for node in self._ready]
        heapq.heapify(self._heap)

    # Running ---------------------------------------------------------------------------------------------------------

    def next_path(self, freeing: bool = False) -> list[Stage]:
        """Claim and return the stages one worker should run next, parent to child; empty when nothing is ready.

        `freeing` prefers what hangs on weights that the fewest stages still wait for, so that they can be removed soon;
        O(ready).
        """
        path: list[_Node] = []
        node = self._freeing() if freeing else self._pop()
        while node is not None:
            self._set(node, _Status.CLAIMED)
            path.append(node)
            free = (child for child in node.children if child.status is _Status.WAITING)
            had = (child for child in free if child.head is None or child.head.available or child.head in path)
            node = min(had, key=lambda child: child.rank, default=None)
        return [node.stage for node in path]

    def beside(self, alike: Callable[[Stage], bool], most: Callable[[int], int]) -> list[Stage]:
        """Claim and return ready stages that are alike, the most urgent first: of so many, as many as `most` says.
        O(ready)."""
        found = sorted((node for node in self._ready if alike(node.stage)), key=lambda node: node.rank)
        found = found[: max(0, most(len(found)))]
        for node in found:
            self._set(node, _Status.CLAIMED)
        return [node.stage for node in found]

    def start(self, key: str) -> None:
        """A claimed stage now runs. Raises ValueError if it is not claimed."""
        node = self._node(key)
        if node.status is not _Status.CLAIMED:
            raise ValueError(f"stage {key} is {node.status.name.lower()}, not claimed")
        self._set(node, _Status.RUNNING)

    def complete(self, key: str, seconds: float) -> list[str]:
        """A stage's output is in the store after `seconds`; returns the runs that are complete by it.

        A stage that was released in the meantime counts all the same, and one that is done already changes nothing:
        the worker believed lost may finish after all. Raises ValueError for a stage that was never to be run, or lost.
        """
        node = self._node(key)
        if node.available:
            return []
        if not node.pending:
            raise ValueError(f"stage {key} is {node.status.name.lower()}: it was not to be run")
        self._set(node, _Status.DONE)
        self._executed += 1
        self._seconds += seconds
        self._lower_above(node)
        for below in node.dependants:
            self._offer(below)
        runs, node.runs = node.runs, []
        for run in runs:
            self._open[run] -= 1
        return [run for run in runs if self._open[run] == 0]

    def fail(self, key: str, reason: str) -> list[str]:
        """Give a stage and everything below it up; returns the runs that can no longer finish by it.

        Their other goals are still run: a partial row is worth having. A stage that is done or lost already changes
        nothing. Raises ValueError for a stage that was never to be run.
        """
        node = self._node(key)
        if node.status is _Status.IDLE:
            raise ValueError(f"stage {key} was not to be run")
        if not node.pending:
            return []
        lost = self._lose([node], reason)
        self._lower_above(node)
        return lost

    def release(self, keys: Iterable[str]) -> None:
        """Give claimed or running stages back: their worker was lost, or its path was ended early. Others are left."""
        for key in keys:
            node = self._node(key)
            if node.status in (_Status.CLAIMED, _Status.RUNNING):
                self._set(node, _Status.WAITING)
                self._offer(node)

    def forget(self, key: str) -> list[str]:
        """A train stage's weights are gone (collected, or a bad checksum): make them again where they are needed.

        Release the stages that could not read them as well. Returns the runs that can no longer finish, because what
        the weights were made from is lost. Raises ValueError for a score stage.
        """
        node = self._node(key)
        if node.stage.kind == "score":
            raise ValueError(f"stage {key} is a score stage and has no weights")
        if not node.available:
            return []
        self._set(node, _Status.IDLE)
        below = node.dependants
        self._ready.difference_update(below)
        lost = self._need(node) if below else []
        for child in below:
            self._offer(child)
        return lost

    def spare(self) -> list[str]:
        """Train stages whose weights exist and that nothing planned waits for: first those that no train stage hangs
        on, then the deepest, the oldest first of these; O(stages)."""
        found = [
            node for node in self._by_number if node.stage.kind == "train" and node.available and not node.dependants
        ]
        found.sort(key=lambda node: (any(child.stage.kind == "train" for child in node.children), -node.depth))
        return [node.stage.key for node in found]

    # What is known ---------------------------------------------------------------------------------------------------

    def ready_count(self) -> int:
        """How many stages a path could start with now."""
        return len(self._ready)

    def is_lost(self, key: str) -> bool:
        """Whether the stage was given up, or something above it was."""
        return self._node(key).status is _Status.LOST

    def is_done(self, key: str) -> bool:
        """Whether the stage was run here or found in the store; False for an unknown one, or one nobody needed."""
        node = self._nodes.get(key)
        return node is not None and node.available

    @property
    def lost(self) -> Mapping[str, str]:
        """The runs that can no longer finish, each with the reason of the failure."""
        return MappingProxyType(self._lost)

    @property
    def naive(self) -> int:
        """Stages if every run did its own: the sum over runs."""
        return self._naive

    @property
    def distinct(self) -> int:
        """Different stages: `executed` + `reused` + `remaining` + the lost ones (unless some were forgotten)."""
        return len(self._nodes)

    @property
    def executed(self) -> int:
        """Stages completed here; one made again after `forget` counts again."""
        return self._executed

    @property
    def reused(self) -> int:
        """Stages not run because they are stored, or because nothing that has to be run needs them."""
        return self._counts[_Status.STORED] + self._counts[_Status.IDLE]

    @property
    def remaining(self) -> int:
        """Stages that still have to be run or are running."""
        return len(self._pending)

    @property
    def seconds(self) -> float:
        """The real seconds of all completed stages together."""
        return self._seconds

    def remaining_cost(self) -> float:
        """Estimated seconds of all stages waiting or running, the running ones in full; O(remaining)."""
        return math.fsum(node.cost for node in self._pending.values())

    def longest_path(self) -> float:
        """Estimated seconds of the longest chain of stages waiting or running; O(remaining)."""
        return max((node.longest for node in self._pending.values()), default=0.0)

    def lower_bound(self, workers: int) -> float:
        """The seconds that no schedule on `workers` workers can beat. Raises ValueError below one worker."""
        if workers < 1:
            raise ValueError(f"workers >= 1 must hold, but got {workers}")
        return max(self.remaining_cost() / workers, self.longest_path())

    # Inside ----------------------------------------------------------------------------------------------------------

    def _check(self, run: str, stages: Sequence[Stage]) -> None:
        seen: set[str] = set()
        for stage in stages:
            for what, key in (("parent", stage.parent), ("head's stage", stage.head_from)):
                if key is not None and key not in seen and key not in self._nodes:
                    raise ValueError(f"{run}: stage {stage.key} comes before its {what} {key}")
            seen.add(stage.key)
        if not any(stage.kind == "score" for stage in stages):
            raise ValueError(f"{run} has no score stage: nothing would ever complete it")

    def _node(self, key: str) -> _Node:
        node = self._nodes.get(key)
        if node is None:
            raise ValueError(f"stage {key} is not in the tree")
        return node

    def _merge(self, stage: Stage) -> _Node:
        """The stage's node, made if it is new."""
        node = self._nodes.get(stage.key)
        if node is None:
            parent = None if stage.parent is None else self._nodes[stage.parent]
            node = _Node(stage, parent, number=len(self._by_number))
            self._nodes[stage.key] = node
            self._by_number.append(node)
            self._counts[_Status.IDLE] += 1
            if parent is not None:
                parent.children.append(node)
                node.depth = parent.depth + 1
            if stage.head_from not in (None, stage.parent):
                node.head = self._nodes[str(stage.head_from)]
                node.head.borrowers.append(node)
        return node

    def _set(self, node: _Node, status: _Status) -> None:
        """The only place where a status changes, so that counts, pending and ready agree with it."""
        self._counts[node.status] -= 1
        self._counts[status] += 1
        node.status = status
        if node.pending:
            self._pending[node.stage.key] = node
        else:
            self._pending.pop(node.stage.key, None)
        if status is not _Status.WAITING:
            self._ready.discard(node)

    def _aim(self, run: str, goal: _Node) -> None:
        """Make a goal one of the run's: plan it unless it exists or cannot be had."""
        self._need(goal)
        if goal.available:
            return
        self._open[run] += 1
        if goal.pending:
            goal.runs.append(run)
        else:
            self._lost.setdefault(run, goal.reason)

    def _need(self, node: _Node) -> list[str]:
        """Plan a stage and what is missing above it, up to the first ancestor that exists or is planned already.

        Where that ancestor is lost, so are they; returns the runs newly lost by it. A goal's second stage is planned
        likewise.
        """
        chain: list[_Node] = []
        above: _Node | None = node
        while above is not None and above.status is _Status.IDLE:
            if self._stored(above.stage.key):
                self._set(above, _Status.STORED)
                break
            chain.append(above)
            above = above.parent
        if above is not None and above.status is _Status.LOST:
            return self._lose(chain, above.reason)
        for link in chain:
            link.cost = self._cost(link.stage)
            link.longest = link.cost + link.longest_below()
            self._set(link, _Status.WAITING)
        if chain:
            self._raise_above(chain[-1])
            self._offer(chain[-1])
        if node.head is not None and node.pending:
            lost = self._need(node.head)
            if node.head.status is _Status.LOST:
                return lost + self._lose([node], node.head.reason)
            self._offer(node)
            return lost
        return []

    def _lose(self, nodes: Iterable[_Node], reason: str) -> list[str]:
        """Mark stages and all that is planned below them as lost; returns the runs newly lost by it."""
        lost: list[str] = []
        stack = list(nodes)
        while stack:
            node = stack.pop()
            self._set(node, _Status.LOST)
            node.reason = reason
            lost += [run for run in dict.fromkeys(node.runs) if run not in self._lost]
            self._lost.update((run, reason) for run in node.runs if run not in self._lost)
            node.runs = []
            stack += reversed(node.dependants)
        return lost

    def _hurry(self, node: _Node, urgent: int) -> None:
        if urgent < node.urgent:
            node.urgent = urgent
            self._push(node)

    def _raise_above(self, node: _Node) -> None:
        """Carry a grown `longest` upwards; O(1) an ancestor, so that wide nodes stay cheap."""
        parent = node.parent
        while parent is not None and parent.pending and parent.cost + node.longest > parent.longest:
            parent.longest = parent.cost + node.longest
            self._push(parent)
            node, parent = parent, parent.parent

    def _lower_above(self, node: _Node) -> None:
        """Carry a shrunken `longest` upwards. Seldom more than a look: what has run has its parent done."""
        parent = node.parent
        while parent is not None and parent.pending:
            longest = parent.cost + parent.longest_below()
            if longest == parent.longest:
                return
            parent.longest = longest
            self._push(parent)
            parent = parent.parent

    def _offer(self, node: _Node) -> None:
        """Make a waiting stage ready if the weights that it starts from exist."""
        if node.status is _Status.WAITING and node.startable:
            self._ready.add(node)
            self._push(node)

    def _push(self, node: _Node) -> None:
        if node in self._ready:
            heapq.heappush(self._heap, node.rank)

    def _freeing(self) -> _Node | None:
        """The ready stage whose parent's weights the fewest wait for; of equals the best."""
        waiting = {node: len(node.parent.dependants) if node.parent else math.inf for node in self._ready}
        return min(waiting, key=lambda node: (waiting[node], node.rank), default=None)

    def _pop(self) -> _Node | None:
        """The best ready stage; entries that no longer hold are dropped on the way."""
        while self._heap:
            rank = heapq.heappop(self._heap)
            node = self._by_number[rank[-1]]
            if node in self._ready and node.rank == rank:
                return node
        return None
