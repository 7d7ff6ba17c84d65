"""Pruning on planted scores."""

from __future__ import annotations

import random
import warnings

import pytest

from search.pruning import PRUNERS, Pruner, PruningSettings

LANGUAGES = ("de", "sw", "th", "ur", "zh", "el")


def settings(pruner, **more):
    return PruningSettings.model_validate({"pruner": pruner, "candidates": 1, **more})


def scores(mean, seed, noise=0.01):
    """Of two targets in six languages: the languages differ much, the root a little."""
    generator = random.Random(f"{mean} {seed}")
    return {
        (target, language): mean + place / 10 + generator.gauss(0, noise)
        for target in ("xnli", "tatoeba")
        for place, language in enumerate(LANGUAGES)
    }


def run(pruner, name, mean, roots=3, noise=0.01):
    """Run a candidate root after root; the number of roots it was given."""
    for seed in range(roots):
        pruner.report(name, seed, scores(mean, seed, noise))
        if seed + 1 < roots and pruner.should_prune(name):
            pruner.finish(name, None)
            return seed + 1
    pruner.finish(name, mean)
    return roots


@pytest.mark.parametrize("name", ["wilcoxon", "median"])
def test_a_clearly_worse_candidate_is_given_up_after_its_first_root(name):
    pruner = Pruner(settings(name))
    assert run(pruner, "good", 0.5) == 3
    assert run(pruner, "bad", 0.4) == 1
    assert run(pruner, "better", 0.6) == 3
    assert run(pruner, "good no more", 0.5) < 3 or name == "median"


def test_languages_are_compared_with_themselves():
    # Half a point lies far below the spread of the languages, and is seen in pairs alone.
    pruner = Pruner(settings("wilcoxon"))
    run(pruner, "good", 0.5, noise=0.001)
    assert run(pruner, "slightly worse", 0.495, noise=0.001) == 1


def test_equal_candidates_run_to_the_end():
    pruner = Pruner(settings("wilcoxon", p_threshold=0.01))
    run(pruner, "one", 0.5)
    assert run(pruner, "another", 0.5) == 3


def test_none_prunes_nothing():
    pruner = Pruner(settings("none"))
    assert [run(pruner, mean, mean) for mean in (0.9, 0.1, 0.0)] == [3, 3, 3]


@pytest.mark.parametrize("name", ["wilcoxon", "median"])
def test_the_first_candidates_and_roots_are_never_pruned(name):
    pruner = Pruner(settings(name, candidates=3, roots=2))
    assert [run(pruner, mean, mean) for mean in (0.9, 0.2, 0.1)] == [3, 3, 3]
    assert run(pruner, "bad", 0.0) == 2


def test_failed_candidates_are_no_standard():
    pruner = Pruner(settings("wilcoxon"))
    pruner.report("failed", 0, scores(0.9, 0))
    pruner.finish("failed", None)
    pruner.finish("never reported", None)
    assert run(pruner, "good", 0.5) == 3


def test_equal_calls_give_equal_decisions():
    def decisions():
        pruner, generator = Pruner(settings("wilcoxon")), random.Random(0)
        return [run(pruner, number, 0.5 + generator.gauss(0, 0.01)) for number in range(12)]

    assert decisions() == decisions()
    assert len(set(decisions())) > 1


def test_mistakes_in_calling_are_told():
    pruner = Pruner(settings("wilcoxon"))
    with pytest.raises(ValueError, match="no scores"):
        pruner.report("one", 0, {})
    with pytest.raises(KeyError):
        pruner.should_prune("one")


def test_optuna_says_nothing(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in PRUNERS:
            pruner = Pruner(settings(name))
            run(pruner, "good", 0.5)
            run(pruner, "bad", 0.4)
    assert capfd.readouterr() == ("", "")


def test_settings_are_checked():
    assert PruningSettings.model_validate({}).pruner == "none"
    for wrong in ({"p_threshold": 0}, {"roots": 0}, {"candidates": 0}, {"pruner": "hyperband"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PruningSettings.model_validate(wrong)
