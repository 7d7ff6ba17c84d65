"""Which runs a study makes and when it is over, with scores that are planted and runs that end in any order."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from search.campaign import Campaign
from search.candidate import Arm
from search.order import OrderSpace
from search.prices import UnitPrices
from search.scores import rows_of, selection_value
from search.settings import Settings
from search.space import Space

SPACE = Space(OrderSpace("abc"), [Arm("full", 1e-3)])  # 16 orders
LANGUAGES = ("de", "el", "sw", "th", "ur", "zh")


def settings_of(**changed):
    return Settings.model_validate({"objective": "target-dev", "seeds": 3, **changed})


def worth(candidate):
    """Planted: early tasks count, a most; the best order is a>b>c."""
    return 0.4 + sum({"a": 0.08, "b": 0.04, "c": 0.02}[t] / (1 + i) for i, t in enumerate(candidate.order.tasks))


def score(candidate, seed, noise=0.004):
    """The rows of a run: two targets in six languages, which differ much; English dev beside them."""
    found = []
    for target in ("xnli", "tatoeba"):
        generator = random.Random(f"{candidate.name} {seed} {target}")
        values = {c: worth(candidate) + place / 20 + generator.gauss(0, noise) for place, c in enumerate(LANGUAGES)}
        about = {"metric": "accuracy", "main": True, "n": 100, "stderr": None}
        scores = [{"language": code, "portion": "search", "value": value, **about} for code, value in values.items()]
        scores += [{"language": "en", "portion": "dev", "value": worth(candidate), **about}]
        found += rows_of(candidate, seed, target, scores)
    return found


class Study:
    """A campaign that is played: runs end one by one in an order drawn from a seed."""

    def __init__(self, seed=0, score=score, space=SPACE, controls=(), **changed):
        self.told = {}
        self.campaign = Campaign(settings_of(**changed), space, UnitPrices(), self.hear, controls)
        self.runs, self._score, self._rng = [], score, random.Random(seed)

    def hear(self, event, about):
        if event == "told":
            assert about["candidate"] not in self.told
            self.told[about["candidate"]] = about

    def out(self):
        return list(iter(self.campaign.next, None))

    def play(self):
        under_way = []
        while not self.campaign.finished:
            new = self.out()
            self.runs += new
            under_way += new
            if not under_way:
                continue  # it was not known to be over before `next` was asked
            run = under_way.pop(self._rng.randrange(len(under_way)))
            assert not self.campaign.finished
            self.campaign.done(run, self._score(*run))
        assert not under_way
        assert self.campaign.next() is None
        return self

    @property
    def roots(self):
        return Counter(candidate for candidate, seed in self.runs if seed < 3)

    def outcome(self):
        """All that must not depend on the order of arrival."""
        campaign = self.campaign
        finals = campaign.finals and (campaign.finals.recommended, campaign.finals.rule.standing())
        return campaign.proposed, sorted(self.runs, key=str), campaign.pruned, finals


# --- candidates -------------------------------------------------------------------------------------------------------


def test_all_roots_at_once_and_told_when_all_are_done():
    study = Study(strategy="exhaustive")
    runs = study.out()
    assert runs == [(candidate, seed) for candidate in SPACE for seed in range(3)]
    heard = []
    study.campaign.strategy.tell = lambda *about: heard.append(about)
    for seed in (2, 0):
        study.campaign.done((SPACE[4], seed), score(SPACE[4], seed))
    assert heard == []
    study.campaign.done((SPACE[4], 1), score(SPACE[4], 1))
    rows = [row for seed in range(3) for row in score(SPACE[4], seed)]
    ((candidate, value, roots),) = heard
    assert (candidate, roots) == (SPACE[4], 3)
    assert value == pytest.approx(selection_value(rows, "target-dev"))
    assert study.told[SPACE[4]] == {"candidate": SPACE[4], "values": (value,), "pruned": False, "rows": rows}
    assert study.campaign.history[SPACE[4]].values == (value,)


def test_the_strategy_hears_what_the_objective_says():
    study = Study(strategy="exhaustive", objective="en-dev", candidates=2).play()
    assert [one.values for one in study.campaign.history.values()] == [
        (pytest.approx(worth(candidate)),) for candidate in study.campaign.history
    ]


@pytest.mark.parametrize("pruner", ["none", "median"])
def test_a_failed_root_fails_its_candidate(pruner):
    broken = {(SPACE[2], 1), (SPACE[7], 0)}
    study = Study(score=lambda *run: None if run in broken else score(*run), pruning={"pruner": pruner}).play()
    failed = {candidate for candidate, told in study.campaign.history.items() if told.values is None}
    assert failed == {SPACE[2], SPACE[7]}
    assert {row.seed for row in study.told[SPACE[2]]["rows"]} == ({0, 2} if pruner == "none" else {0})
    assert study.campaign.pruned.isdisjoint(failed)
    assert study.campaign.strategy.state()["untold"] == []


def test_a_run_that_was_not_given_out_is_refused():
    study = Study()
    run = study.campaign.next()
    study.campaign.done(run, score(*run))
    with pytest.raises(KeyError):
        study.campaign.done(run, score(*run))
    with pytest.raises(KeyError):
        study.campaign.done((SPACE[15], 0), [])


def test_finished_only_when_nothing_is_out():
    study = Study(candidates=2)
    runs = study.out()
    assert not study.campaign.finished
    for run in runs:
        assert not study.campaign.finished
        study.campaign.done(run, score(*run))
    assert study.campaign.finished


def test_not_finished_before_the_finals_are():
    study = Study(candidates=4, strategy="exhaustive", confidence=0.95)
    for run in study.out():
        study.campaign.done(run, score(*run))
    assert study.campaign.finals is None
    assert not study.campaign.finished
    runs = study.out()
    assert {seed for _, seed in runs} == {3, 4, 5}  # fresh ones
    assert Counter(candidate for candidate, _ in runs) == dict.fromkeys({one for one, _ in runs}, 3)
    assert len(runs) == 3 * 5
    assert not study.campaign.finished


def test_nothing_to_hold_finals_with():
    study = Study(score=lambda *run: None, candidates=4, confidence=0.95).play()
    assert study.campaign.finals.recommended == []
    assert study.campaign.finals.rule is None
    assert {seed for _, seed in study.runs} == {0, 1, 2}


# --- any order of arrival ---------------------------------------------------------------------------------------------

STRATEGIES = {
    "exhaustive": {}, "random": {"candidates": 12}, "halving": {"halving": {"eta": 2, "rungs": 3}},
    "evolution": {"candidates": 14}, "plackett-luce": {"candidates": 14}, "tpe": {"candidates": 13},
    "gp": {"candidates": 12},
}  # fmt: skip


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_any_order_of_arrival(strategy):
    changed = {"strategy": strategy, "confidence": 0.9, "finals": {"finalists": 3, "most": 6}, **STRATEGIES[strategy]}
    first, *others = [Study(seed, noisy, **changed).play().outcome() for seed in range(3)]
    assert first[3][1].named is not None
    assert others == [first] * 2


@pytest.mark.parametrize(("strategy", "pruner"), [("exhaustive", "wilcoxon"), ("evolution", "median")])
def test_any_order_of_arrival_with_a_pruner(strategy, pruner):
    changed = {"strategy": strategy, "pruning": {"pruner": pruner, "candidates": 2}, "candidates": 14}
    first, *others = [Study(seed, **changed).play().outcome() for seed in range(4)]
    assert first[2]
    assert others == [first] * 3


def noisy(candidate, seed):
    return score(candidate, seed, noise=0.05)


def test_several_goals_in_any_order():
    changed = {"strategy": "evolution", "candidates": 14, "goals": ["score", "worst_language", "cost"]}
    first, second = [Study(seed, noisy, **changed).play() for seed in range(2)]
    assert first.outcome() == second.outcome()
    one = first.campaign.history[first.campaign.proposed[6]]
    assert len(one.values) == 3
    assert one.values[2] == -(1 + len(one.candidate.order))


# --- pruning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pruner", ["wilcoxon", "median"])
@pytest.mark.parametrize("seed", range(3))
def test_hopeless_candidates_get_fewer_roots(pruner, seed):
    study = Study(seed, strategy="random", pruning={"pruner": pruner, "candidates": 4}, confidence=None).play()
    pruned, best = study.campaign.pruned, max(SPACE, key=worth)
    assert set(study.campaign.proposed) == set(SPACE)
    assert {candidate for candidate, roots in study.roots.items() if roots < 3} == pruned
    assert len(pruned) >= 4
    assert best not in pruned
    assert max(map(worth, pruned)) < worth(best)
    assert not pruned & set(study.campaign.proposed[:4])  # those run to their end before any is pruned
    for candidate, told in study.campaign.history.items():
        assert told.roots == study.roots[candidate]
        assert study.told[candidate]["pruned"] == (candidate in pruned)
        rows = [row for root in range(told.roots) for row in score(candidate, root)]
        assert told.values == (pytest.approx(selection_value(rows, "target-dev")),)


def test_every_candidate_is_given_the_roots_that_it_must_have():
    study = Study(strategy="random", pruning={"pruner": "median", "candidates": 2, "roots": 2}).play()
    assert set(study.roots.values()) == {2, 3}


def test_a_pruner_judges_by_score_whatever_the_goals():
    """Of the cost alone the best would be the empty order, and no candidate of worth below it."""
    pruning = {"pruner": "wilcoxon", "candidates": 4}
    by_score = Study(strategy="exhaustive", pruning=pruning).play()
    by_cost = Study(strategy="exhaustive", pruning=pruning, goals=["cost", "score"]).play()
    assert by_score.campaign.pruned == by_cost.campaign.pruned != set()


# --- finals -----------------------------------------------------------------------------------------------------------


def test_the_finals_name_the_best_on_fresh_roots():
    study = Study(strategy="exhaustive", confidence=0.95, finals={"finalists": 4, "tolerance": 0.001}).play()
    finals = study.campaign.finals
    assert finals.rule.standing().named == max(SPACE, key=worth)
    assert finals.rule.standing().probability >= 0.95
    assert len(finals.recommended) == 4
    assert min(seed for candidate, seed in study.runs[16 * 3 :]) == 3


def test_finalists_are_chosen_by_score_whatever_the_goals():
    changed = {"strategy": "exhaustive", "confidence": 0.9, "finals": {"finalists": 2, "most": 4}}
    found = [
        {one.candidate for one in Study(goals=goals, **changed).play().campaign.finals.recommended}
        for goals in (["score"], ["cost", "score"])
    ]
    assert found[0] == found[1]
    assert max(SPACE, key=worth) in found[0]


def test_what_failed_is_no_finalist_and_who_fails_in_the_finals_drops_out():
    ranked = sorted(SPACE, key=worth, reverse=True)

    def fragile(candidate, seed):
        broken = (candidate == ranked[0] and seed == 1) or (candidate == ranked[1] and seed == 4)
        return None if broken else score(candidate, seed)

    study = Study(score=fragile, strategy="exhaustive", confidence=0.9, finals={"finalists": 4}).play()
    finals = study.campaign.finals
    finalists = {one.candidate for one in finals.recommended}
    assert ranked[0] not in finalists
    assert ranked[1] in finalists
    assert finals.rule.standing().named == ranked[2]
    assert ranked[1] not in {place.finalist for place in finals.rule.standing().places}
