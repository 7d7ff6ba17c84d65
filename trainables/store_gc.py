"""Taking away from a store what nothing needs: what dead writers left, and weights, if they are to take less room.

How old a file is, is the difference of two times that the store's own filesystem has noted; no clock of this machine or
of a worker is asked. Nothing is lost that could not be made again: stages whose weights go keep their figures.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from trainables.stage import PREDICTIONS
from trainables.store import Store, blobs_of, file_of
from trainables.store_files import File
from trainables.store_inventory import Inventory, Kept, State

BLOB = re.compile(r".+-\d+-[0-9a-f]{8}")
TEMPORARY = re.compile(r".+\.(\d+-)?[0-9a-f]{12}\.tmp")
"""What files are called that only this program writes: no others are taken away, wherever it is pointed at."""

GRACE = 3600.0
"""Seconds for which a file may lie there before something names it."""

What = Literal["blobs", "attempts", "signs of life", "temporary files", "weights"]

MEANING: dict[What, str] = {
    "blobs": "blobs that no record names: their writers died",
    "attempts": "attempts of stages that are stored",
    "signs of life": "of workers that are gone",
    "temporary files": "of writers that died",
    "weights": "of train stages, whose figures stay",
}
"""What each is, for people."""


@dataclass
class Garbage:
    """What may go: paths with their sizes in bytes, and stages whose weights may go with the bytes that frees."""

    files: dict[What, dict[str, int]] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)

    def rows(self) -> list[tuple[What, int, int]]:
        """What it is, how many and how many bytes, all kinds."""
        kinds: dict[What, dict[str, int]] = {**{what: {} for what in MEANING}, **self.files, "weights": self.weights}
        return [(what, len(found), sum(found.values())) for what, found in kinds.items()]

    @property
    def bytes(self) -> int:
        """Bytes that are freed."""
        return sum(size for _, _, size in self.rows())


def garbage(
    inventory: Inventory, workers: dict[str, State], grace: float = GRACE, keep_under: int | None = None
) -> Garbage:
    """What may go of a store. `keep_under`: train weights as well until all else takes no more than so many bytes."""
    now = inventory.store.medium.now()

    def old(file: File) -> bool:
        return now is not None and file.written is not None and now - file.written >= grace

    found = Garbage({what: {} for what in MEANING if what != "weights"})
    for path, file in inventory.entries.items():
        first, _, name = path.partition("/")
        if (TEMPORARY.fullmatch(path) or name.startswith((".probe-", ".stop-")) or first == "nodes") and old(file):
            found.files["temporary files"][path] = file.size
        elif workers.get(path) == "gone" or (workers.get(path) == "silent" and old(file)):
            found.files["signs of life"][path] = file.size
    for key, kept in inventory.stages.items():
        for name, file in kept.unnamed.items():
            if BLOB.fullmatch(name) and old(file):
                found.files["blobs"][f"{key[:2]}/{key}/{name}"] = file.size
        attempts = inventory.attempts.get(key, {}) if kept.stored else {}
        if all(map(old, attempts.values())):
            found.files["attempts"] |= {f"attempts/{key}/{name}": file.size for name, file in attempts.items()}
    if keep_under is not None:
        found.weights = _weights(inventory, inventory.bytes - found.bytes - keep_under)
    return found


def take_away(store: Store, found: Garbage) -> int:
    """Do it; the bytes that were freed."""
    freed = 0
    for what, paths in found.files.items():
        for path, size in paths.items():
            folder, _, name = path.rpartition("/")
            if what == "blobs" and name in _named(store, folder.rpartition("/")[2]):
                continue  # its writer lives, and has just now stored the stage
            freed += size if store.medium.delete(path) else 0
            store.medium.tidy(folder)
            if "/" in folder:
                store.medium.tidy(folder.partition("/")[0])
    return freed + sum(store.collect(key) for key in found.weights)


def _named(store: Store, key: str) -> set[str]:
    return {file_of(entry) for entry in blobs_of(store.record(key) or {}).values()}


def weights_of(kept: Kept) -> int:
    """The bytes of a stage's blobs but its predictions: 0 where it is no train stage, or not stored."""
    if not kept.stored or kept.stage.get("kind") != "train":
        return 0
    named = {file_of(entry) for name, entry in blobs_of(kept.record).items() if name != PREDICTIONS}
    return sum(kept.files[name].size for name in named if name in kept.files)


def _weights(inventory: Inventory, excess: int) -> dict[str, int]:
    """Train stages whose weights are to go until so many bytes are freed.

    Leaves first, for what is near the root is what most others start from; of these the ones written longest ago.
    """
    sizes = {key: size for key, kept in inventory.stages.items() if (size := weights_of(kept))}
    parents = {key: parent for key in sizes if (parent := inventory.stages[key].parent) in sizes}
    children = Counter(parents.values())
    written = {
        key: min((file.written or 0 for file in inventory.stages[key].files.values()), default=0) for key in sizes
    }
    waiting = [(written[key], key) for key in sizes if not children[key]]
    heapq.heapify(waiting)
    chosen: dict[str, int] = {}
    while waiting and excess > 0:
        _, key = heapq.heappop(waiting)
        chosen[key] = sizes[key]
        excess -= sizes[key]
        if key in parents:
            parent = parents[key]
            children[parent] -= 1
            if not children[parent]:
                heapq.heappush(waiting, (written[parent], parent))
    return chosen
