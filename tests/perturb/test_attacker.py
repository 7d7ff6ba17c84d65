"""Lock-step attacking: batches, random recipes, errors, budgets, stored candidates; and the batched victim."""

from __future__ import annotations

import gc
import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
from attacking import SWAPS, Ngrams, alone, build, examples, figures, ta

from perturb.attacked_text import ScriptText
from perturb.attacker import SearchFailed, attack
from perturb.candidates import CandidateStore, draws
from perturb.dice import Dice, throw
from perturb.victim import Victim


def randomly(victim=None):
    """Random letters by all three generators, and a random order of words."""
    swaps = [
        ta.transformations.WordSwapRandomCharacterSubstitution(),
        ta.transformations.WordSwapRandomCharacterInsertion(random_one=False),
        ta.transformations.WordSwapQWERTY(random_one=True),
        TorchSwap(),
    ]
    return build(swaps, ta.search_methods.GreedyWordSwapWIR(wir_method="random"), victim)


class TorchSwap(ta.transformations.WordSwap):
    def _get_replacement_words(self, word):
        i = int(torch.randint(len(word), (1,)))
        return [word[:i] + word[i].upper() + word[i + 1 :], word[:i] + word[i + 1 :]]

    @property
    def deterministic(self):
        return False


def test_random_recipes_do_not_depend_on_the_number_of_slots():
    chosen = list(examples(20, "random"))
    before = Dice()
    ran = [attack(randomly, chosen, seed=3, slots=slots) for slots in (1, 8, 64)]
    assert before == Dice(), "the caller's generators were moved"
    one = [figures(result) for result in ran[0]]
    assert one == [figures(result) for result in ran[1]] == [figures(result) for result in ran[2]]
    assert one != [figures(result) for result in attack(randomly, chosen, seed=4, slots=8)]
    assert one[::-1] == [figures(result) for result in attack(randomly, chosen[::-1], seed=3, slots=5)]


def test_a_random_recipe_is_textattacks_own_seeded_by_the_example():
    chosen = list(examples(12, "seeded"))
    stock = []
    for name, text, label in chosen:
        throw(3, name)
        stock += alone(randomly(), [(name, text, label)])
    assert [figures(one) for one in attack(randomly, chosen, seed=3)] == [figures(one) for one in stock]


def test_only_what_draws_numbers_is_watched():
    assert draws(randomly())
    assert not draws(build(SWAPS, "unk")) and not draws(build(["deletion"], "beam"))
    assert draws(build(["qwerty"], ta.search_methods.GreedyWordSwapWIR(wir_method="random")))
    assert draws(build([ta.transformations.WordSwapRandomCharacterSubstitution(random_one=False)], "unk"))


def test_one_batch_holds_the_questions_of_many_searches():
    victim, chosen = Ngrams(), list(examples(24, "batches"))
    results = attack(lambda: build(["neighbour"], "unk", victim), chosen, slots=24)
    single = Ngrams()
    attack(lambda: build(["neighbour"], "unk", single), chosen, slots=1)
    assert victim.asked[0] == 24
    assert len(victim.asked) * 6 < len(single.asked)
    assert sum(victim.asked) == sum(single.asked) == sum(one.num_queries for one in results)


def test_results_keep_the_order_of_the_examples_and_the_collector_its_thresholds():
    chosen, before = list(examples(9, "order")), gc.get_threshold()
    results = attack(lambda: build(["homoglyph"], "delete"), chosen, slots=4)
    texts = [one.original_result.attacked_text.columns for one in results]
    assert texts == [[text] if isinstance(text, str) else list(text.values()) for _, text, _ in chosen]
    assert gc.get_threshold() == before and gc.get_freeze_count() == 0
    assert attack(lambda: build(["homoglyph"], "delete"), []) == []


class Moody(Ngrams):
    """Refuses a batch that holds a certain word."""

    def __call__(self, inputs):
        if any("sailor" in str(one) for one in inputs):
            raise RuntimeError("no sailors")
        return super().__call__(inputs)


def test_one_examples_error_names_it_and_stops_no_other():
    chosen = [("a", "A warm captain came.", 1), ("b", "A bright sailor came.", 1), ("c", "It was cold and bleak.", 0)]
    found = attack(lambda: build(["deletion"], "unk", Moody()), chosen)
    assert isinstance(found[1], SearchFailed) and found[1].example == "b"
    assert str(found[1]) == "b: RuntimeError: no sailors" and isinstance(found[1].__cause__, RuntimeError)
    expected = alone(build(["deletion"], "unk"), [chosen[0], chosen[2]])
    assert [figures(found[0]), figures(found[2])] == [figures(one) for one in expected]


def test_an_error_in_a_search_itself_is_that_examples():
    class Broken(ta.search_methods.BeamSearch):
        def perform_search(self, initial_result):
            if "warm" in initial_result.attacked_text.text:
                raise KeyError("warm")
            return super().perform_search(initial_result)

    chosen = [(str(i), f"A {word} captain came.", 1) for i, word in enumerate(["warm", "bright", "warm", "clever"])]
    found = attack(lambda: build(["deletion"], Broken(2)), chosen, slots=2)
    assert [isinstance(one, SearchFailed) for one in found] == [True, False, True, False]


@pytest.mark.parametrize("search", ["unk", "delete", "greedy", "beam"])
@pytest.mark.parametrize("budget", [1, 2, 9])
def test_an_example_whose_queries_are_spent_has_failed(search, budget):
    """TextAttack's beam search breaks off with a ValueError where not one query is left."""
    chosen = [("0", "The teacher said the harbour was lovely and bright and honest and warm, on Tuesday.", 1)]
    (found,) = attack(lambda: build(["deletion"], search, budget=budget, distance=2), chosen)
    assert type(found).__name__ == "FailedAttackResult" and found.num_queries == budget


def test_an_attack_that_needs_no_model_twice_is_skipped_or_fails_at_once():
    chosen = [("none", "😀 … 12", 1), ("empty", "", 0), ("wrong", "A dreadful, bleak day.", 1)]
    ours = attack(lambda: build(["homoglyph"], "unk"), chosen)
    assert [figures(one) for one in ours] == [figures(one) for one in alone(build(["homoglyph"], "unk"), chosen)]


def test_texts_of_other_scripts_are_attacked_as_they_come():
    text = ScriptText(OrderedDict(a="我喜欢看书。", b="It was lovely and warm"), language="zh", fixed={"b": [(0, 22)]})
    (found,) = attack(lambda: build(["deletion"], "unk"), [("zh", text, 1)])
    assert found.original_result.attacked_text is text
    assert found.perturbed_result.attacked_text.language == "zh"


def test_candidates_are_stored_for_the_text_and_the_recipe_they_belong_to():
    chosen, store = list(examples(6, "store")), CandidateStore()
    make = lambda: build(["homoglyph", "deletion"], "unk")  # noqa: E731
    attack(make, chosen, store=store, recipe="one")
    assert len(store) == store.misses > 0
    known = len(store)
    attack(make, [(name + "!", text, label) for name, text, label in chosen], store=store, recipe="one")
    assert len(store) == known and store.hits >= known, "an id does not matter, the text does"
    attack(lambda: build(["deletion"], "unk"), chosen, store=store, recipe="other")
    assert len(store) > known
    changed = [(name, ScriptText(str(text) + " warm"), label) for name, text, label in chosen]
    misses = store.misses
    attack(make, changed, store=store, recipe="one")
    assert store.misses > misses


def test_random_candidates_are_not_stored():
    store, chosen = CandidateStore(), list(examples(8, "dice"))
    stored = attack(randomly, chosen, seed=1, store=store, recipe="random")
    again = attack(randomly, chosen, seed=1, store=store, recipe="random")
    assert [figures(one) for one in stored] == [figures(one) for one in again]
    assert store.hits == 0


def test_scores_that_a_constraint_writes_on_a_text_keep_it_out_of_the_store():
    class Scored(ta.constraints.Constraint):
        def __init__(self):
            super().__init__(compare_against_original=True)

        def _check_constraint(self, transformed_text, reference_text):
            transformed_text.attack_attrs["similarity_score"] = len(transformed_text.text)
            return True

    def make():
        made = build(["deletion"], "unk")
        return ta.Attack(made.goal_function, [Scored()], made.transformation, made.search_method)

    chosen, store = list(examples(8, "scored")), CandidateStore()
    first, second = (attack(make, chosen, store=store, recipe="scored") for _ in range(2))
    assert store.hits == 0 or all(not kept for kept in store._kept.values())
    stock = [figures(one) for one in alone(make(), chosen)]
    assert [figures(one) for one in first] == [figures(one) for one in second] == stock


@pytest.mark.parametrize("content", [b"", b"x", CandidateStore().to_bytes()[:-3]])
def test_a_store_that_is_none_is_refused(content):
    with pytest.raises(ValueError, match="candidates"):
        CandidateStore.from_bytes(content)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="slots"):
        attack(lambda: build(["deletion"], "unk"), [], slots=0)
    with pytest.raises(ValueError, match="recipe"):
        attack(lambda: build(["deletion"], "unk"), [], store=CandidateStore())


# The victim


class Letters:
    """A model of one layer: counts of token ids, which it sees as padded batches."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.encoded: list[str] = []

    def encode(self, inputs):
        self.encoded += inputs
        return [[2 + ord(c) % 50 for c in (one if isinstance(one, str) else "|".join(one))] for one in inputs]

    def forward(self, ids, mask):
        self.shapes.append(tuple(ids.shape))
        assert bool(((ids == 1) == (mask == 0)).all())
        return torch.stack([(ids * mask).sum(1), mask.sum(1)], 1).double()


def expected(texts):
    return [[sum(2 + ord(c) % 50 for c in text), len(text)] for text in texts]


def test_a_victim_answers_in_order_in_batches_of_like_length():
    model = Letters()
    victim = Victim(model.encode, model.forward, tokens=24)
    texts = ["a" * n for n in (1, 12, 2, 11, 3, 10, 30)]
    assert victim(texts).tolist() == expected(texts)
    assert model.shapes == [(1, 30), (2, 12), (1, 10), (2, 3), (1, 1)]
    assert all(rows * width <= 24 or rows == 1 for rows, width in model.shapes)
    assert (victim.queries, victim.forwarded, victim.batches) == (7, 7, 5) and victim.seconds > 0


def test_a_victim_is_not_asked_twice_and_forgets_the_oldest():
    model = Letters()
    victim = Victim(model.encode, model.forward, remembered=2)
    assert victim(["ab", "ab", "c"]).tolist() == expected(["ab", "ab", "c"])
    assert victim(["c", "ab"]).tolist() == expected(["c", "ab"])
    assert model.encoded == ["ab", "c"] and victim.queries == 5
    victim(["new"])
    victim(["ab", "c"])
    assert model.encoded == ["ab", "c", "new", "c"], "the last two were remembered"
    victim.clear()
    victim(["ab"])
    assert model.encoded[-1] == "ab"


def test_a_victim_takes_tuples_and_empty_texts():
    model = Letters()
    victim = Victim(model.encode, model.forward)
    assert victim([("a", "b"), ""]).tolist() == [[2 + 97 % 50 + 2 + 124 % 50 + 2 + 98 % 50, 3], [0, 0]]


def test_a_victim_in_mixed_precision_gives_single_precision():
    layer = torch.nn.Linear(1, 2)
    inside = []

    def forward(ids, mask):
        rows = layer(ids[:, :1].float())
        inside.append(rows.dtype)
        return rows

    rows = Victim(lambda texts: [[7] for _ in texts], forward, dtype=torch.bfloat16)(["x"])
    assert inside == [torch.bfloat16] and rows.dtype == torch.float32 and not rows.requires_grad


def test_a_victim_says_what_is_wrong_with_its_model():
    with pytest.raises(ValueError, match="1 rows for 2"):
        Victim(lambda texts: [[1] for _ in texts], lambda ids, mask: torch.zeros(1, 2))(["a", "b"])
    with pytest.raises(ValueError, match="at least one"):
        Victim(lambda texts: [], lambda ids, mask: ids)([])
    with pytest.raises(ValueError, match="tokens"):
        Victim(lambda texts: [], lambda ids, mask: ids, tokens=0)


def test_attacks_run_on_a_victim_that_remembers():
    model = Letters()

    def forward(ids, mask):
        share = (model.forward(ids, mask)[:, 0] % 7) / 7
        return torch.stack([1 - share, share], 1)

    chosen = list(examples(10, "victim"))
    ours = attack(lambda: build(["homoglyph"], "unk", Victim(model.encode, forward)), chosen)
    stock = alone(build(["homoglyph"], "unk", Victim(model.encode, forward, remembered=0)), chosen)
    assert [figures(one) for one in ours] == [figures(one) for one in stock]


def test_dice_are_the_three_generators():
    state = Dice()
    for draw in (random.random, np.random.random, lambda: torch.rand(1)):
        draw()
        assert state != Dice()
        state.restore()
        assert state == Dice()
    throw(1, "a")
    one = random.random(), np.random.random(), float(torch.rand(1))
    throw(1, "b")
    assert one != (random.random(), np.random.random(), float(torch.rand(1)))
    state.restore()
