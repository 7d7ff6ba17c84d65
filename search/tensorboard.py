"""One TensorBoard log a study, written by the driver: runs' scores, stages' seconds, stages done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Writer:
    """Listens to the planner; what is heard before `open` belongs to earlier runs and is not logged."""

    def __init__(self) -> None:
        self._writer: Any = None
        self._stages = self._runs = 0

    def open(self, folder: Path) -> None:
        """Begin the log in a folder."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(logdir=str(folder))

    def hear(self, event: str, about: Mapping[str, Any]) -> None:
        """The planner's listener."""
        if event == "stage" and about["made"]:
            self._stages += 1
            self._scalar(f"seconds/{about['stage'].kind}", about["seconds"], self._stages)
        elif event == "run":
            self._runs += 1
            self._scalar("zero_shot/run", 100 * about["score"], self._runs)

    def close(self) -> None:
        """Flush and close the log, if there is one."""
        if self._writer is not None:
            self._writer.close()

    def _scalar(self, name: str, value: float, step: int) -> None:
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)
