"""The lazy sequence of candidates: baselines, what is named to come first, then everything else, each once."""

from __future__ import annotations

import pytest

from search.candidate import Arm
from search.order import Order, OrderSpace
from search.space import Space

ARMS = [Arm("full", 1e-3), Arm("full", 1e-4), Arm("prompt", 1e-2, 8)]
CONTROLS = [Order((("sham",),)), Order((("sham",), ("sham2",)))]


@pytest.mark.parametrize("arms", [ARMS[:1], ARMS])
@pytest.mark.parametrize("controls", [(), CONTROLS])
@pytest.mark.parametrize("first", [(), ("a>b",), ("c>b>a", "a>b", "b>a>c")])
def test_every_candidate_has_one_index(arms, controls, first):
    orders = OrderSpace("abc")
    space = Space(orders, arms, controls, [Order.parse(text) for text in first])
    found = [space[index] for index in range(space.size)]
    assert len(set(found)) == space.size == (16 + len(controls)) * len(arms)
    assert [space.index(candidate) for candidate in found] == list(range(space.size))
    begun = [str(candidate.order) for candidate in found[: space.baselines]]
    assert begun == ["none", "a", "b", "c", *map(str, controls), *first]
    assert all(candidate.arm == arms[0] for candidate in found[: space.baselines])
    rest = [candidate.order for candidate in found[space.baselines * len(arms) :: len(arms)]]
    assert rest == [order for order in orders if str(order) not in begun]


def test_what_is_not_in_the_space():
    space = Space(OrderSpace("abc"), ARMS)
    inside = space[5]
    assert inside in space
    assert inside.at(0.5) in space
    for other in (Arm("lora", 1e-3), Arm("full", 2e-3)):
        candidate = type(inside)(inside.order, *other)
        assert candidate not in space
        with pytest.raises(ValueError, match="not in the space"):
            space.index(candidate)
    with pytest.raises(IndexError):
        space[space.size]
