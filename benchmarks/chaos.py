"""One study under thirty random faults against the same study undisturbed: `python -m benchmarks.chaos [--faults 30]`.

A cluster of a head and three nodes of one CPU runs a study of five orders at several roots. Faults come at random
moments, one after the other: the driver, a worker or a node is killed, stored bytes are flipped, the store becomes
read-only or its disk full for a while, and stages raise, run out of memory, hang or give nan. The next fault comes once
the last one has been suffered and another score is stored. Whenever the driver ends, the same command is given again,
until it ends with 0. Then the scores must be those of the undisturbed study, and no score stage that was once stored
may have been made again, but those whose bytes were flipped. A study that ends before its last fault is too small
(`--seeds`).

The store lies on a disk of its own in memory, which takes root; elsewhere the two faults of the disk are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pandas as pd

from benchmarks.faults import put
from benchmarks.results import record
from trainables.attempts import Attempts
from trainables.store import Store

ROOT = Path(__file__).resolve().parent.parent

sys.path.insert(0, str(ROOT / "tests" / "search"))  # clusters of several nodes are kept by what tests keep them by

from clusters import Nodes, cluster  # noqa: E402

STUDY = [
    "--languages", "en,de", "--limit", "16",
    "--set", "intermediate=[mini-nli,mini-topic]", "--set", "targets=[mini-xnli,mini-tatoeba]",
    "--set", "train.steps=20", "--set", "train.target_steps=20", "--set", "train.batch_size=8",
    "--stall-timeout", "12",
]  # fmt: skip

RESULT = ["candidate", "seed", "target", "language", "portion", "metric", "value", "n", "stderr"]

DISK = 256 * 2**20
"""Bytes of the store's own disk."""

WHILE = 20.0
"""Seconds for which the store is read-only, or its disk full."""

STAGE = ("error", "memory", "hang", "lock", "nan")
OUTSIDE = ("driver", "worker", "node", "flip", "read-only", "full")


class Chaos:
    """A study that is disturbed, and all that is known of it from outside."""

    def __init__(self, folder: Path, nodes: Nodes, seeds: int, seed: int, disk: bool) -> None:
        self.folder, self.nodes, self.rng, self.disk = folder, nodes, random.Random(seed), disk
        self.faults = folder / "faults"
        self.faults.mkdir()
        self.url = str(folder / "disk" / "store")
        self.store = Store(self.url)
        self.command = [
            sys.executable, "-m", "benchmarks.faults", str(self.faults), *STUDY, "--seeds", str(seeds), "--store",
            self.url, "--address", nodes.address,
        ]  # fmt: skip
        self.alive = {1, 2, 3}
        self.done: Counter[str] = Counter()
        self.flipped: set[str] = set()
        self.writers: dict[str, str] = {}
        self.again: set[str] = set()
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None

    # --- the study ----------------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether the command has ended with 0: there is nothing left to disturb."""
        return self.process is not None and self.process.poll() == 0

    def start(self) -> None:
        """Give the command, unless it is under way."""
        if self.process is None or self.process.poll() is not None:
            self.starts += 1
            with (self.folder / f"driver-{self.starts:03}.log").open("wb") as log:
                self.process = subprocess.Popen(
                    self.command, cwd=self.folder, env=self.nodes.env, stdout=log, stderr=log, start_new_session=True
                )

    def look(self) -> int:
        """Take note of the score stages that are stored and by whom; how many there are."""
        for path in Path(self.url).glob("??/*/record.json"):
            with suppress(OSError, ValueError):
                told = json.loads(path.read_text())
                if "scores" in told:
                    key, writer = told["key"], told["writer"]
                    if self.writers.setdefault(key, writer) != writer and key not in self.flipped:
                        self.again.add(key)
        return len(self.writers)

    def progress(self, seconds: float) -> None:
        """Let the study go on until it has suffered all faults and stored another score, or the time is over."""
        before, end = self.look(), time.monotonic() + seconds
        while time.monotonic() < end and not self.over:
            self.start()
            time.sleep(0.3)
            if self.look() > before and not any(self.faults.glob("*.json")):
                break

    @property
    def suffered(self) -> Counter[str]:
        """The faults that came about."""
        inner = (json.loads(path.read_text())["fault"] for path in self.faults.glob("*.taken"))
        return self.done + Counter(str(fault) for fault in inner)

    def finish(self, most: int = 20) -> bool:
        """Give the command until it ends with 0; whether it did."""
        for _ in range(most):
            self.start()
            assert self.process is not None
            while self.process.poll() is None:
                time.sleep(0.3)
                self.look()
            if self.process.returncode == 0:
                return True
            print(f"  the command ended with {self.process.returncode} and is given again", flush=True)
        return False

    # --- faults -------------------------------------------------------------------------------------------------------

    def disturb(self, number: int, fault: str) -> None:
        """One fault."""
        if fault in STAGE:  # it counts once a stage has suffered it
            put(self.faults, number, fault, "train" if fault == "nan" else None)
        else:
            self.done[fault] += OUTER[fault](self)

    def kill_driver(self) -> bool:
        assert self.process is not None
        there = self.process.poll() is None
        self.process.kill()
        self.process.wait()
        return there

    def kill_worker(self) -> bool:
        told = [json.loads(path.read_bytes()) for path in Path(self.url).glob("alive/*.json")]
        there = [one["pid"] for one in told if Path(f"/proc/{one['pid']}").exists()]
        with suppress(ProcessLookupError, IndexError):
            os.kill(self.rng.choice(sorted(there)), signal.SIGKILL)
            return True
        return False

    def kill_node(self) -> bool:
        number = self.rng.choice(sorted(self.alive))
        self.nodes.remove(number)
        self.alive.remove(number)
        self.alive.add(self.nodes.add(num_cpus=1))
        return True

    def flip(self) -> bool:
        blobs = sorted(Path(self.url).glob("??/*/*.safetensors-*")) + sorted(Path(self.url).glob("??/*/*.parquet-*"))
        if blobs:
            path = self.rng.choice(blobs)
            content = bytearray(path.read_bytes())
            content[self.rng.randrange(len(content))] ^= 0xFF
            path.write_bytes(content)
            self.flipped.add(path.parent.name)
        return bool(blobs)

    def read_only(self) -> bool:
        _remount(self.folder / "disk", "ro")
        try:
            time.sleep(WHILE)
        finally:
            _remount(self.folder / "disk", "rw")
        return True

    def fill(self) -> bool:
        filler = self.folder / "disk" / "filler"
        with suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(b"\0" * 2**20)
                file.flush()
        try:
            time.sleep(WHILE)
        finally:
            filler.unlink()
        return True


OUTER: dict[str, Callable[[Chaos], bool]] = {
    "driver": Chaos.kill_driver, "worker": Chaos.kill_worker, "node": Chaos.kill_node, "flip": Chaos.flip,
    "read-only": Chaos.read_only, "full": Chaos.fill,
}  # fmt: skip


def _remount(folder: Path, how: str) -> None:
    """A disk becomes `ro` or `rw`; it is busy while a file is open for writing, and asked again."""
    for _ in range(2000):
        if subprocess.run(["mount", "-o", f"remount,{how}", folder], check=False, capture_output=True).returncode == 0:
            return
        time.sleep(0.01)
    raise RuntimeError(f"the store's disk could not be made {how}")


def drawn(rng: random.Random, count: int, disk: bool) -> list[str]:
    """So many faults in random order, of each kind about as many."""
    kinds = [fault for fault in (*STAGE, *OUTSIDE) if disk or fault not in ("read-only", "full")]
    faults = [kinds[place % len(kinds)] for place in range(count)]
    rng.shuffle(faults)
    return faults


def scores(folder: Path) -> pd.DataFrame:
    """The newest run's scores."""
    newest = max(folder.glob("runs/orders-*"), key=lambda path: (path.stat().st_mtime, path.name))
    return pd.read_parquet(newest / "scores.parquet")[RESULT].reset_index(drop=True)


def board(folder: Path) -> bytes:
    """The newest run's leaderboard."""
    return (
        max(folder.glob("runs/orders-*"), key=lambda p: (p.stat().st_mtime, p.name))
        .joinpath("leaderboard.csv")
        .read_bytes()
    )


def undisturbed(folder: Path, seeds: int) -> None:
    """The same study on this machine alone."""
    command = [sys.executable, str(ROOT / "search" / "run.py"), *STUDY, "--seeds", str(seeds)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def failures(folder: Path) -> Counter[str]:
    """The failed attempts that the runs know of, by what was wrong. A run whose driver is killed tells of none."""
    found: Counter[str] = Counter()
    for path in folder.glob("runs/orders-*/failures.json"):
        for stage in json.loads(path.read_text()):
            found.update(attempt["fault"] for attempt in stage["attempts"])
    return found


def main() -> int:
    """Run both, compare, and print what was seen; 1 where they differ, or a score is lost or a fault missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--record", action="store_true", help="append the figures to RESULTS.md")
    given = parser.parse_args()
    start = time.monotonic()
    with ExitStack() as stack:
        alone, folder = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"chaos-{name}-"))) for name in ("alone", "run")
        )
        undisturbed(alone, given.seeds)
        disk = folder / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", disk]
        mounted = subprocess.run(mount, check=False, capture_output=True)
        if mounted.returncode == 0:
            stack.callback(subprocess.run, ["umount", "-l", disk])
        else:
            print("no disk can be mounted: the store is never read-only and its disk never full")
        os.environ["PYTHONPATH"], os.environ["ORDER_SEARCH_FAULTS"] = str(ROOT), str(folder / "faults")
        nodes = stack.enter_context(cluster(nodes=3))
        chaos = Chaos(folder, nodes, given.seeds, given.seed, mounted.returncode == 0)
        for number, fault in enumerate(drawn(chaos.rng, given.faults, chaos.disk)):
            chaos.progress(120.0)
            if chaos.over:
                break
            print(
                f"{number + 1:3} {fault:10} at {time.monotonic() - start:5.0f} s, {chaos.look()} scores stored",
                flush=True,
            )
            time.sleep(chaos.rng.uniform(0.0, 2.0))
            chaos.disturb(number, fault)
        ended = chaos.finish()
        return _told(given, chaos, alone, ended, time.monotonic() - start)


def _told(given: argparse.Namespace, chaos: Chaos, alone: Path, ended: bool, seconds: float) -> int:
    own, other = scores(chaos.folder), scores(alone)
    same = own.equals(other)
    largest = float((own.value - other.value).abs().max()) if len(own) == len(other) else float("nan")
    tried = Counter(key for key, _ in Attempts.all(chaos.store))
    ways = Counter(str(about.get("ended") or "never told") for _, about in Attempts.all(chaos.store))
    suffered = chaos.suffered
    lost = chaos.again | {key for key in chaos.writers if not chaos.store.has(key)}
    lines = [
        f"faults suffered: {suffered.total()} of {given.faults} "
        f"({', '.join(f'{count} {fault}' for fault, count in sorted(suffered.items()))})",
        f"the command was given {chaos.starts} times, the last one ended {'with 0' if ended else 'otherwise'}",
        f"stages: {len(tried)}; attempts: {sum(tried.values())}; stages tried more than once: "
        f"{sum(count > 1 for count in tried.values())}",
        f"how the attempts ended: {dict(ways)}",
        f"failures that the runs told of: {dict(failures(chaos.folder))}",
        f"scores: {len(own)} rows, {'equal to' if same else 'not equal to'} the undisturbed study's (at most "
        f"{largest:g} apart); the leaderboard {'is equal' if board(chaos.folder) == board(alone) else 'differs'}",
        f"score stages stored: {len(chaos.writers)}; lost or made again without need: {len(lost)}",
        f"{seconds:.0f} s",
    ]  # fmt: skip
    print("\n".join(lines))
    if given.record:
        record("chaos", lines, f"python -m benchmarks.chaos --faults {given.faults} --seeds {given.seeds}")
    well = ended and same and not lost and suffered.total() == given.faults
    if not well:
        shutil.copytree(chaos.folder, Path.cwd() / "chaos-failed", dirs_exist_ok=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
