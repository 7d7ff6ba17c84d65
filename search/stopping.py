"""How a run is stopped: what SIGINT and SIGTERM do from before Ray starts until the last file is written.

The first signal gives out nothing more: stages under way end, the reports are written, and the command exits with 1.
The second, or the end of the grace that a SIGTERM leaves, writes the manifest and exits at once. Tune's own handler is
off: it cuts stages short and returns as if all were well.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)

EXIT = 1

os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")


class Stopping:
    """Within it signals ask a run to stop; what was in their place before is put back after it."""

    def __init__(self, stop: Callable[[str], None], grace: float) -> None:
        """`stop` is told the reason at the first signal. Before an exit at once `leaving` writes what must be there."""
        self._stop, self._grace = stop, grace
        self.leaving: Callable[[], None] = lambda: None
        self._timer: threading.Timer | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._left = threading.Lock()
        self.asked = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # elsewhere no handler can be set
            self._before = {one: signal.signal(one, self._heard) for one in SIGNALS}
        return self

    def renew(self) -> None:
        """Set the handlers anew: Ray, when it has started, has one of its own that aborts the process at a SIGTERM."""
        for one in self._before:
            signal.signal(one, self._heard)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.asked:
            self.leave(f"{name} again")
            return
        self.asked = True
        if number == signal.SIGTERM:
            self._timer = threading.Timer(self._grace, self.leave, [f"{self._grace:g} s after SIGTERM"])
            self._timer.daemon = True
            self._timer.start()
        _tell(f"{name}: stages under way are finished, then the reports are written; once more to leave at once")
        self._stop(f"stopped by {name}")

    def leave(self, why: str) -> None:
        """Write what must be there and exit, whatever is under way."""
        if not self._left.acquire(blocking=False):
            return
        try:
            _tell(f"{why}: leaving at once; the same command goes on from here")
            self.leaving()
        finally:
            os._exit(EXIT)


def _tell(text: str) -> None:
    """To standard error, past all buffers: a handler may have interrupted a write to one."""
    with suppress(OSError):
        os.write(2, f"{text}\n".encode())
