"""What candidates cost given what was bought: ledger and table against sets of prefixes, and a study's against its
stages."""

from __future__ import annotations

import random

import pytest
from test_planner import study_of

from search.candidate import Arm, Candidate
from search.order import Order, OrderSpace
from search.prices import Ledger, PriceTable, UnitPrices
from search.space import Space
from search.study_prices import StudyPrices, seconds

ARMS = [Arm("full", 1e-3), Arm("icl", 1e-3), Arm("prompt", 1e-2, 8), Arm("probe", 1e-2)]
LISTED = [Order.parse(text) for text in ("none", "c", "a>b+c", "a>b", "b+c>a", "c>b>a")]
SPACES = {
    "subsets": Space(OrderSpace("abc"), ARMS),
    "permutations": Space(OrderSpace("abc", "permutations"), ARMS),
    "groups": Space(OrderSpace("abc", "groups"), ARMS),
    "short groups": Space(OrderSpace("abcd", "groups", max_length=2, max_group=2), ARMS[:1]),
    "explicit": Space(OrderSpace("abc", "explicit", orders=LISTED), ARMS),
    "controls": Space(OrderSpace("ab"), ARMS, [Order.parse("sham-a"), Order.parse("sham-a>sham-b")]),
}  # fmt: skip


class Prices:
    """`full` and `icl` train alike, `probe` trains nothing; every group and every arm has a price of its own."""

    def __init__(self, stored=()):
        self._stored = stored

    def trunk(self, arm):
        return None if arm.method == "probe" else "whole" if arm.method in ("full", "icl") else arm

    def train(self, group, arm):
        return sum(map(ord, "".join(group))) * (1 if self.trunk(arm) == "whole" else 3)

    def leaf(self, arm):
        return 7.0 + 10 * ARMS.index(arm)

    def stored(self):
        return self._stored


def prefixes(candidate):
    """Of a candidate's order, each with its trunk; none where nothing is trained."""
    trunk, groups = Prices().trunk(candidate.arm), candidate.order.groups
    return [] if trunk is None else [(trunk, groups[: end + 1]) for end in range(len(groups))]


def brute(candidate, bought, stored=()):
    """The price by sets: the prefixes beyond the longest that is there, and the leaf."""
    if candidate in bought:
        return 0.0
    there = set(stored).union(*map(prefixes, bought))
    longest = max((len(groups) for trunk, groups in prefixes(candidate) if (trunk, groups) in there), default=0)
    needed = [groups[-1] for _, groups in prefixes(candidate) if len(groups) > longest]
    return sum(Prices().train(group, candidate.arm) for group in needed) + Prices().leaf(candidate.arm)


def some_stored(space, generator):
    """Prefixes of some candidates, not all with what they hang on."""
    every = sorted({prefix for candidate in space for prefix in prefixes(candidate)}, key=str)
    return generator.sample(every, min(3, len(every)))


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("seed", range(3))
def test_marginal_prices_are_those_of_sets_of_prefixes(kind, seed):
    space, generator = SPACES[kind], random.Random(f"{kind} {seed}")
    stored = some_stored(space, generator) if seed else []
    ledger, bought, spent = Ledger(Prices(stored)), [], 0.0
    table = PriceTable(ledger, list(space))
    for _ in range(12):
        now = table.marginal()
        for place, candidate in enumerate(space):
            assert ledger.marginal(candidate) == brute(candidate, bought, stored)
            expected = Prices().leaf(candidate.arm) if candidate in bought else brute(candidate, bought, stored)
            assert now[place] == expected
        chosen = generator.choice(list(space))
        price = brute(chosen, bought, stored)
        assert ledger.buy(chosen) == price
        bought.append(chosen)
        spent += price
        assert ledger.spent == pytest.approx(spent)


@pytest.mark.parametrize("kind", SPACES)
def test_besides_is_as_if_they_had_been_bought(kind):
    space, generator = SPACES[kind], random.Random(kind)
    ledger = Ledger(Prices())
    table = PriceTable(ledger, list(space))
    ledger.buy(space[3])
    before = table.marginal()
    besides = [Candidate(Order.parse("x>y"), *ARMS[0]), *generator.sample(list(space), 3)]  # one is of no interest
    found = table.marginal(besides)
    assert (table.marginal() == before).all()  # nothing was bought
    for candidate in besides:
        ledger.buy(candidate)
    assert (found == table.marginal()).all()
    assert (found <= before).all()


def test_a_table_of_some_candidates():
    """As local search has it: what others have bought counts, whether their orders are in the table or not."""
    ledger = Ledger(Prices())
    some = [Candidate(Order.parse(text), *ARMS[0]) for text in ("a>b>c", "b", "none")]
    table = PriceTable(ledger, some)
    ledger.buy(Candidate(Order.parse("a>b"), *ARMS[1]))  # another arm of the same trunk
    ledger.buy(Candidate(Order.parse("b>c>a"), *ARMS[2]))  # an arm of its own
    assert table.marginal().tolist() == [ledger.marginal(one) for one in some] == [99 + 7, 98 + 7, 7]


def test_naive_is_each_alone():
    a, ab = (Candidate(Order.parse(text), *ARMS[0]) for text in ("a", "a>b"))
    ledger = Ledger(Prices())
    ledger.buy(a)
    assert ledger.naive([a, ab, ab]) == (97 + 7) + 2 * (97 + 98 + 7)


def test_what_is_stored_is_asked_for_at_first_need():
    """A price of a candidate alone needs no look into the store."""
    prices = Prices()
    asked = []
    prices.stored = lambda: asked.append(1) or []
    ledger = Ledger(prices)
    assert ledger.naive([Candidate(Order.parse("a"), *ARMS[0])]) == 97 + 7
    assert not asked
    for _ in range(2):
        ledger.marginal(Candidate(Order.parse("a"), *ARMS[0]))
    assert asked == [1]


def test_unit_prices():
    ledger = Ledger(UnitPrices(leaf=2))
    order = Candidate(Order.parse("a>b+c>d"), *ARMS[0])
    assert ledger.buy(order) == 3 + 2
    assert ledger.marginal(Candidate(Order.parse("a>b+c"), *ARMS[0])) == 2
    assert ledger.marginal(Candidate(Order.parse("a>b+c"), *ARMS[1])) == 2 + 2


# --- of a study -------------------------------------------------------------------------------------------------------

STUDIES = {
    "one arm": {},
    "groups, measured": {"orders": {"kind": "groups"}, "representations": ["links"]},
    "permutations": {"orders": {"kind": "permutations"}},
    "joint": {"orders": {"kind": "joint"}},
    "controls": {"controls": True},
    "arms": {"method": ["full", "lora", "prompt"], "learning_rate": [1e-3, 1e-2], "targets": "tags"},
    "heads": {"method": "probe", "train": {"heads": "carry"}},
    "budgets": {"train": {"steps": 7, "target_epochs": 9.0}},
}  # fmt: skip


def of_the_base_model(stage):
    return "measure" in stage.settings and stage.parent is None


@pytest.mark.parametrize("kind", STUDIES)
def test_a_studys_prices_are_those_of_its_stages(world, kind):
    """Marginal prices by prefixes equal the seconds of those stages that no bought candidate has.

    But for the base model's representations: they are measured once, and in the price of every candidate.
    """
    changed = dict(STUDIES[kind])
    if "targets" in changed:
        changed["targets"] = [world.of(changed["targets"])]
    study = study_of(world, **changed)
    ledger, generator, bought = Ledger(StudyPrices(study)), random.Random(kind), set()
    for candidate in generator.sample(list(study.space), study.space.size):
        new = [one for one in study.stages(candidate, 0) if one.key not in bought or of_the_base_model(one)]
        assert ledger.buy(candidate) == pytest.approx(sum(seconds(study, stage) for stage in new))
        bought |= {stage.key for stage in new}
    every = [seconds(study, stage) for candidate in study.space for stage in study.stages(candidate, 0)]
    assert ledger.naive(study.space) == pytest.approx(sum(every))


def test_where_nothing_is_carried_an_order_costs_nothing(world):
    study = study_of(world, method="probe")
    prices = StudyPrices(study)
    assert {prices.trunk(arm) for arm in study.space.arms} == {None}
    found = {Ledger(prices).marginal(candidate) for candidate in study.space}
    assert found == {prices.leaf(study.space.arms[0])}
    assert Ledger(prices).naive(study.space) == pytest.approx(study.space.size * found.pop())
