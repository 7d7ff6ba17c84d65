"""A thread that does one thing after another, and that does not keep its process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class OwnThread:
    """Like an executor with one thread, but a daemon: a process that is asked to end need not wait for a long stage, or
    for a store that does not answer."""

    def __init__(self, name: str) -> None:
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Do this after all that was given before; what comes of it."""
        future: Future[T] = Future()
        self._tasks.put((future, task))
        return future

    def _run(self) -> None:
        while True:
            future, task = self._tasks.get()
            try:
                future.set_result(task())
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                future.set_exception(error)
            del future, task  # else the last result would be kept until there is another task


def known(what: T | BaseException) -> Future[T]:
    """A future of what is known already: a result, or what asking for it raises."""
    future: Future[T] = Future()
    if isinstance(what, BaseException):
        future.set_exception(what)
    else:
        future.set_result(what)
    return future
