"""Candidates as runs of Weights & Biases, grouped by study: offline in the run folder, unless WANDB_MODE is set."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.trackers import Tracked

PROJECT = "order-search"
ENDS = {"complete": 0, "pruned": 0, "failed": 1}
"""A run's exit code by the candidate's status: 0 is shown as finished, others as failed."""

LONGEST = 128
"""Characters of a run's name that the service takes; the order is in the configuration, whole."""


class WandbWriter:
    """Writes one short run a candidate."""

    def __init__(self) -> None:
        self._wandb: Any = None
        self._folder = Path()

    def open(self, folder: Path) -> None:
        """Load the library; runs go into `wandb/` of the run folder or of WANDB_DIR."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        self._wandb, self._folder = wandb, folder

    def write(self, tracked: Tracked) -> None:
        """A run with the candidate's figures in its summary."""
        own = hashlib.sha256(f"{self._folder.name}/{tracked.name}".encode()).hexdigest()[:16]
        place = Path(os.environ.get("WANDB_DIR") or self._folder)
        if next(place.glob(f"wandb/*run-*-{own}"), None):
            return
        # Neither the command line nor the machine nor the code: the run folder's manifest tells these, without secrets.
        settings = self._wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, save_code=False, x_disable_meta=True,
            x_disable_stats=True, x_disable_machine_info=True, x_save_requirements=False, host="",
        )  # fmt: skip
        run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT, mode=os.environ.get("WANDB_MODE") or "offline",
            dir=str(place), id=own, name=tracked.name[:LONGEST], group=self._folder.name, job_type="candidate",
            tags=[tracked.status], config={**tracked.params, **tracked.tags}, settings=settings, resume="allow",
            reinit="create_new",
        )  # fmt: skip
        try:
            run.summary.update(tracked.metrics)
        finally:
            run.finish(exit_code=ENDS[tracked.status])

    def close(self, status: str) -> None:
        """End the library's own process."""
        self._wandb.teardown()
