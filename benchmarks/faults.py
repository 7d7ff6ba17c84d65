"""A run whose stages fail when they are told to: `python -m benchmarks.faults FOLDER [flags of run]`.

A file of FOLDER, `{"fault": "error", "kind": "train"}`, is a fault; the first stage of that kind which begins takes it
away and suffers it. So faults come at any moment, and each comes once.

    error   the stage raises
    memory  it raises what torch raises when the memory is full
    nan     the model gives nan, so that the loss is none
    hang    it sleeps for ever
    lock    it holds the interpreter's lock for ever, where no thread of its own process could end it
    kill    its process is killed
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from trainables import trainable
from trainables.stage import Stage

FOLDER = "ORDER_SEARCH_FAULTS"
"""The variable that names the folder, in the environment of the workers."""


def put(folder: Path, number: int, fault: str, kind: str | None = None) -> None:
    """Have a stage suffer a fault, of a kind if one is given."""
    part = folder / f".{number}"
    part.write_text(json.dumps({"fault": fault, "kind": kind}))
    part.replace(folder / f"{number:03}.json")


def taken(folder: Path, stage: Stage) -> str | None:
    """The first fault for a stage, which is then gone."""
    for path in sorted(folder.glob("*.json")):
        with suppress(OSError, ValueError):
            about = json.loads(path.read_text())
            if about["kind"] in (None, stage.kind):
                path.rename(path.with_suffix(".taken"))
                return str(about["fault"])
    return None


class FaultyPath(trainable.StagePath):
    """A path whose stages suffer the faults of the folder."""

    def _outcome(self, stage: Stage, together: Sequence[Stage] = ()) -> Any:
        again = stage.key in self._tries  # one fault a stage: three would give it up
        fault = None if again else taken(Path(os.environ[FOLDER]), stage)
        if fault is None:
            return super()._outcome(stage, together)
        with _suffering(self._bench, fault):
            return super()._outcome(stage, together)


@contextmanager
def _suffering(bench: Any, fault: str) -> Iterator[None]:
    made = bench._made

    def suffer(*given: Any) -> Any:
        if fault == "nan":
            with _nan(bench.model):
                return made(*given)
        HAPPENS[fault]()
        return made(*given)

    bench._made = suffer
    try:
        yield
    finally:
        bench._made = made


@contextmanager
def _nan(model: Any) -> Iterator[None]:
    states = model.states
    model.states = lambda *given, **more: states(*given, **more) * float("nan")
    try:
        yield
    finally:
        del model.states


def _error() -> None:
    raise RuntimeError("an injected fault")


def _memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory (an injected fault)")


def _hang() -> None:
    time.sleep(10**6)


def _lock() -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")  # the matcher does not let the lock go, and tries for years


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


HAPPENS: dict[str, Callable[[], None]] = {
    "error": _error, "memory": _memory, "hang": _hang, "lock": _lock, "kill": _kill,
}  # fmt: skip


def main() -> int:
    """Run with these paths instead of the real ones."""
    folder, *flags = sys.argv[1:]
    os.environ[FOLDER] = str(Path(folder).resolve())
    import search.runner
    from benchmarks.faults import FaultyPath as Importable  # not `__main__.FaultyPath`, which workers do not have
    from search.cli import main as run

    search.runner.StagePath = Importable  # type: ignore[misc]
    return run(flags)


if __name__ == "__main__":
    sys.exit(main())
