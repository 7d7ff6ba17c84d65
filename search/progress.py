"""What a person sees while a study runs: a live view on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from search.planner import Planner

REFRESH_SECONDS = 0.5
LINE_SECONDS = 10.0
SHOWN = 8


class View:
    """Follows a planner. On a terminal one live picture; otherwise a line an event that matters."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._planner: Planner | None = None
        self._start = self._last = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rest]}")
        )
        self._stages = self._bar.add_task("stages", total=None, rest="")
        self._since: dict[tuple[str, str], float] = {}  # when a stage was first seen to run on a worker
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def watch(self, planner: Planner, workers: int) -> None:
        """Follow this planner; `workers` is the number of slots for the estimate of the time left."""
        self._planner, self._workers = planner, workers
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def hear(self, event: str, about: Mapping[str, Any]) -> None:
        """The planner's listener: runs, retries and failures are told at once."""
        if event == "run":
            self._line("done", "green", f"{about['name']}  zero-shot {100 * about['score']:.1f}")
        elif event == "retry":
            self._line("again", "yellow", f"{about['label']}: {about['reason']} (attempt {about['attempt']})")
        elif event == "failed":
            self._line("failed", "red", f"{about['name']}: {about['reason']}")

    def tick(self) -> None:
        """Called often; draws at most twice a second."""
        now = time.monotonic()
        if self._planner is None or now - self._last < (REFRESH_SECONDS if self._live else LINE_SECONDS):
            return
        self._last = now
        if self._live:
            self._live.update(self._picture(self._planner), refresh=True)
        else:
            self._console.print(Text(self._summary(self._planner)), soft_wrap=True)

    def _line(self, what: str, style: str, text: str) -> None:
        # Above a live picture only what went wrong; what went well is in the picture.
        if self._live is None or what != "done":
            self._console.print(Text.assemble((what, style), " ", text), soft_wrap=True)

    def _summary(self, planner: Planner) -> str:
        tree = planner.tree
        done = tree.distinct - tree.remaining
        best = planner.standings()[:1]
        text = f"{self._elapsed()}  stages {done} of {tree.distinct} ({tree.reused} reused)"
        text += f", {self._left(planner)}"
        return text + (f"; best so far {best[0][0].order} {100 * best[0][1]:.1f}" if best else "")

    def _picture(self, planner: Planner) -> Group:
        tree = planner.tree
        left = f"{tree.reused} reused · {self._elapsed()} · {self._left(planner)}"
        self._bar.update(self._stages, total=tree.distinct, completed=tree.distinct - tree.remaining, rest=left)
        running = self._running(planner)
        title = Text("best orders so far (zero-shot, mean over targets and languages)", "bold")
        best = Table(box=None, pad_edge=False)
        for heading in ("", "order", "score", "roots"):
            best.add_column(heading, justify="right" if heading in ("score", "roots") else "left")
        for place, (candidate, score, roots) in enumerate(planner.standings()[:SHOWN], 1):
            best.add_row(
                str(place),
                Text(candidate.name if planner.varied else str(candidate.order)),
                f"{100 * score:.1f}",
                str(roots),
            )
        return Group(self._bar, running, title, best)

    def _running(self, planner: Planner) -> Table:
        """A line for each stage under way: how long already, on which worker, and which attempt it is."""
        now, table = time.monotonic(), Table.grid(padding=(0, 2))
        self._since = {one: self._since.get(one, now) for one in planner.running.items()}
        for (key, worker), since in list(self._since.items())[: 2 * SHOWN]:
            told = Text.assemble((f"on {worker} for {_clock(now - since)}" if worker else "waits for a worker", "dim"))
            attempt = planner.attempt(key)
            if attempt.number > 1:
                told.append(f"  attempt {attempt.number}", "yellow")
            if attempt.split > 1:
                told.append(f"  batches in {attempt.split} parts", "yellow")
            table.add_row(Text("running", "cyan"), Text(planner.stages[key][1]), told)
        if planner.held:
            table.add_row(Text("held", "yellow"), Text(f"stages that other studies are at: {len(planner.held)}"))
        return table

    def _elapsed(self) -> str:
        return _clock(time.monotonic() - self._start)

    def _left(self, planner: Planner) -> str:
        planned, to_come = planner.tree.lower_bound(self._workers), planner.to_come() / max(1, self._workers)
        more = f" + {_clock(to_come)} for candidates to come" if to_come else ""
        return f"about {_clock(planned)}{more} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
