"""Why a stage could not be made. Free of torch and of Ray."""

from __future__ import annotations


class Diverged(Exception):
    """The loss of a stage is no finite number, and no longer will be."""


class MissingParent(Exception):
    """The weights of a stage that another starts from are not in the store, or not as they were written: its parent's,
    or those that hold a task's head."""

    def __init__(self, key: str, what: str) -> None:
        """`key` is that stage's."""
        super().__init__(what)
        self.key = key
