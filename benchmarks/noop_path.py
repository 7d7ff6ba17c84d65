"""The trainable of `noop`: StagePath with a bench that trains nothing. It imports Ray."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from benchmarks.noop import Bench
from search import runner
from trainables import trainable


class Path(trainable.StagePath):
    """A path of stages that sleep, or do nothing."""

    def setup(self, config: dict[str, Any]) -> None:
        """The bench is ours; all else is StagePath's."""
        place = str(config["workplace"])
        if place not in trainable._benches:
            trainable._benches[place] = Bench(json.loads(place))  # type: ignore[assignment]
        self._own = place
        super().setup(config)

    def step(self) -> dict[str, Any]:
        """The first waits for the other workers."""
        trainable._benches[self._own].meet()  # type: ignore[attr-defined]
        return super().step()


def swapped(searcher: Any = runner.Runner) -> AbstractContextManager[Any]:
    """Within it `search.runner.run` takes this trainable, and the searcher."""
    return patch.multiple(runner, StagePath=Path, Runner=searcher)
