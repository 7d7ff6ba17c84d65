"""Orders and arms as numbers: blocks of features in which squared Euclidean distance is a distance of orders.

| block | distance of two orders | on permutations |
|---|---|---|
| kendall | pairs of tasks in a different order, tasks of one order alone | Kendall's (Mallows) |
| position | tasks at a different distance from the end | Hamming's |
| spearman | squared differences of the distances from the end; an absent task is farther than any | Spearman's |
| adjacency | neighbours (which task follows which, begins, ends) of one order alone | bond or edge distance |

Positions are counted from the end, because what was trained last is freshest; on permutations that changes nothing.
An exponential of minus such a distance is positive definite (it is an RBF kernel of the features), so Mallows's kernel
and the others are valid over ordered subsets and groups too. Jiao and Vert, IEEE TPAMI 40(7), 2018; Deshwal et al.,
AAAI 2022.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from search.candidate import Arm, Candidate
from search.order import Order

Floats = NDArray[np.float64]

BLOCKS = ("kendall", "position", "spearman", "adjacency")


class Features:
    """Features of a space's candidates: one row each; `blocks` are the columns of each kernel's features.

    The order's blocks come first, then of the arms the method (one-hot) and the logarithms of learning rate and prompt
    length, each scaled to the range of the arms; of these only those that vary.
    """

    def __init__(self, tasks: Sequence[str], arms: Sequence[Arm]) -> None:
        self._place = {name: place for place, name in enumerate(tasks)}
        self._arms = dict(zip(arms, _arm_rows(arms), strict=True))
        widths = [len(block) for block in self._blocks(Order(()))]
        ends = np.cumsum(widths)
        self.blocks = {name: slice(end - width, end) for name, width, end in zip(BLOCKS, widths, ends, strict=True)}
        self.orders = int(ends[-1])
        self.methods = len({arm.method for arm in arms}) if len({arm.method for arm in arms}) > 1 else 0
        self.width = self.orders + len(next(iter(self._arms.values()), ()))

    @property
    def scalars(self) -> int:
        """How many numbers of the arms vary (learning rate, prompt length)."""
        return self.width - self.orders - self.methods

    def matrix(self, candidates: Iterable[Candidate]) -> Floats:
        """(candidates, width)."""
        rows = [np.concatenate([*self._blocks(one.order), self._arms[one.arm]]) for one in candidates]
        return np.array(rows, dtype=np.float64).reshape(-1, self.width)

    def _blocks(self, order: Order) -> list[Floats]:
        count = len(self._place)
        length = len(order)
        left = np.full(count, -1)  # groups that follow the task's; -1: absent
        for place, group in enumerate(order.groups):
            for name in group:
                left[self._place[name]] = length - 1 - place
        present = left >= 0
        both = present[:, None] & present[None, :]
        sign = np.where(both, np.sign(left[:, None] - left[None, :]), 0)
        upper = np.triu_indices(count, 1)
        kendall = np.concatenate([sign[upper], present])
        position = (left[:, None] == np.arange(-1, count)[None, :]).ravel()
        spearman = np.where(present, (count - left) / max(1, count), 0.0)
        follows = both & (left[:, None] - left[None, :] == 1)
        adjacency = np.concatenate([follows.ravel(), present & (left == length - 1), left == 0])
        return [block.astype(np.float64) for block in (kendall, position, spearman, adjacency)]


def _arm_rows(arms: Sequence[Arm]) -> Floats:
    methods = list(dict.fromkeys(arm.method for arm in arms))
    columns = [[float(arm.method == method) for arm in arms] for method in methods] if len(methods) > 1 else []
    for scale in ([math.log(arm.learning_rate) for arm in arms], [math.log1p(arm.prompt_length or 0) for arm in arms]):
        width = max(scale, default=0.0) - min(scale, default=0.0)
        if width:
            columns.append([(one - min(scale)) / width for one in scale])
    return np.array(columns, dtype=np.float64).reshape(len(columns), len(arms)).T
