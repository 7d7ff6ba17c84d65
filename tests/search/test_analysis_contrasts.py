"""Effects planted in a table are found again: methods, orders, method × difficulty, icl × training."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pandas as pd
import pytest
from planted import noise, run, table
from scipy import stats

from search.analysis.contrasts import (
    NO_EFFECT,
    gain_contrasts,
    method_contrasts,
    order_effect,
    order_gains,
    target_contrasts,
)
from search.analysis.icl import two_by_two
from search.analysis.interaction import complexity
from search.analysis.intervals import over_roots, welch
from search.analysis.selection import chosen

ORDERS = ("none", "a", "b", "a>b")
ROOTS = range(4)


def study(value, methods=("full", "adapter"), orders=ORDERS, roots=ROOTS):
    """A run for each method, order and root that `value` has a test score for."""
    found = [
        run(order, method, root, score)
        for method, order, root in itertools.product(methods, orders, roots)
        if (score := value(method, order, root)) is not None
    ]
    return table(*found)


def jitter(*what, width=1.0):
    return random.Random(repr(what)).uniform(-width, width)


# --- intervals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 5, 12])
def test_the_interval_over_roots_is_scipys(n):
    values = [jitter("t", i) for i in range(n)]
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    found = over_roots([*values, float("nan")])
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))
    assert found.n == n and not found.reason


def test_below_three_roots_there_is_no_interval_but_a_reason():
    assert over_roots([1.0, 3.0]) == (2.0, None, 2, "2 roots: an interval needs 3")
    assert over_roots([1.0]).reason == "1 root: an interval needs 3"
    assert over_roots([]).mean is None and over_roots([float("nan")]).n == 0
    assert not over_roots([5.0, 5.0]).excludes_zero
    assert over_roots([5.0, 5.0, 5.0]).excludes_zero
    assert not over_roots([1e-14] * 3).excludes_zero  # a rounding error is no effect


@pytest.mark.parametrize(("first", "second"), [(2, 2), (5, 3), (4, 9)])
def test_welchs_interval_is_scipys(first, second):
    high, low = [jitter("h", i, width=3) for i in range(first)], [jitter("l", i) for i in range(second)]
    expected = stats.ttest_ind(high, low, equal_var=False).confidence_interval()
    found = welch(high, low, ("high", "low"), "task")
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx(tuple(expected))


def test_welch_needs_two_of_each():
    assert welch([1.0], [2.0, 3.0], ("high", "low"), "task") == (
        -1.5, None, 3, "1 high task and 2 low tasks: an interval needs 2 of each",
    )  # fmt: skip
    assert welch([1.0], [], ("high", "low"), "task").reason == "there is no low task"
    assert welch([], [1.0], ("high", "low"), "task").reason == "there is no high task"
    assert welch([], [], ("high", "low"), "task").reason == "there is no task"
    assert welch([1.0, 1.0], [0.0, 0.0], ("high", "low"), "task").half_width == 0


# --- methods ----------------------------------------------------------------------------------------------------------


def test_a_planted_difference_of_methods_is_found_with_scipys_paired_interval():
    def value(method, order, root):
        shift = {"full": 0, "adapter": 3, "lora": -20}[method]
        return 50 + 5 * root + 2 * ORDERS.index(order) + shift + jitter(method, order, root)

    scores = study(value, ("full", "adapter", "lora"))
    found = method_contrasts(noise(scores), chosen(scores)).set_index("method")
    assert found.index.tolist() == ["adapter", "lora"]
    assert found.difference.tolist() == pytest.approx([3, -20], abs=1)
    assert found.orders.tolist() == [4, 4] and found.roots.tolist() == [4, 4] and set(found.note) == {""}
    means = {m: [np.mean([value(m, order, root) for order in ORDERS]) for root in ROOTS] for m in ("adapter", "full")}
    low, high = stats.ttest_rel(means["adapter"], means["full"]).confidence_interval()
    assert found.difference["adapter"] - found.half_width["adapter"] == pytest.approx(low)
    assert found.difference["adapter"] + found.half_width["adapter"] == pytest.approx(high)


def test_only_orders_and_roots_that_both_methods_have_are_compared():
    def value(method, order, root):
        if method == "adapter" and (order == "a>b" or root == 3):
            return None
        if method == "full" and order == "b":
            return None
        return 50 + 40 * (order in ("b", "a>b")) + 30 * (root == 3) + (method == "adapter")

    scores = study(value)
    found = method_contrasts(scores, chosen(scores)).iloc[0]
    assert (found.orders, found.roots, found.note) == (2, 3, "")
    assert found.difference == pytest.approx(1) and found.half_width == pytest.approx(0, abs=1e-9)


def test_a_lost_run_is_left_out_of_its_root_and_noted():
    def value(method, order, root):
        if (method, order, root) == ("adapter", "b", 2):
            return None
        return 50 + 40 * (order == "b") + (method == "adapter")

    scores = study(value)
    found = method_contrasts(scores, chosen(scores)).iloc[0]
    assert found.difference == pytest.approx(1)
    assert (found.orders, found.roots, found.note) == (4, 4, "not every root has all orders")


def test_two_roots_give_the_difference_and_the_reason_for_no_interval():
    scores = study(lambda method, order, root: 50 + (method == "adapter"), roots=range(2))
    found = method_contrasts(scores, chosen(scores)).iloc[0]
    assert found.difference == pytest.approx(1) and pd.isna(found.half_width)
    assert found.reason == "2 roots: an interval needs 3"


def test_without_the_baseline_there_is_no_contrast():
    scores = study(lambda method, order, root: 50, methods=("adapter",))
    found = method_contrasts(scores, chosen(scores)).iloc[0]
    assert pd.isna(found.difference) and found.roots == 0 and found.orders == 0
    scores = study(lambda method, order, root: 50 if (method == "full") == (root < 2) else None)
    assert method_contrasts(scores, chosen(scores)).roots.tolist() == [0]  # no root in common


def test_contrasts_of_targets():
    scores = study(lambda method, order, root: 50 + (method == "adapter"))
    more = (scores.method == "adapter") & (scores.target == "tatoeba")
    scores.loc[more, "value"] += 0.06
    found = target_contrasts(scores, chosen(scores)).set_index("target")
    assert found.difference.to_dict() == pytest.approx({"xnli": 1, "tatoeba": 7})
    assert method_contrasts(scores, chosen(scores)).difference.tolist() == pytest.approx([4])


def test_a_planted_difference_of_gains_is_found_whatever_the_levels():
    def value(method, order, root):
        gain = 0 if order == "none" else {"full": 3, "adapter": 5}[method] + jitter(method, order, root)
        return 50 + 5 * root + 20 * (method == "adapter") + gain

    scores = study(value)
    found = gain_contrasts(noise(scores), chosen(scores)).iloc[0]
    gains = {
        m: [np.mean([value(m, order, root) - value(m, "none", root) for order in ORDERS[1:]]) for root in ROOTS]
        for m in ("adapter", "full")
    }
    low, high = stats.ttest_rel(gains["adapter"], gains["full"]).confidence_interval()
    assert found.difference == pytest.approx(2, abs=1)
    assert (found.difference - found.half_width, found.difference + found.half_width) == pytest.approx((low, high))
    assert (found.orders, found.roots, found.note) == (3, 4, "")


def test_gains_are_of_the_orders_and_roots_that_both_methods_have():
    def value(method, order, root):
        if (method, order, root) in {("adapter", "none", 0), ("full", "b", 1)} or (method, order) == ("full", "a>b"):
            return None
        return 50 + (0 if order == "none" else 1 + (method == "adapter") + 40 * (order in ("b", "a>b")))

    scores = study(value)
    found = gain_contrasts(scores, chosen(scores)).iloc[0]
    assert (found.orders, found.roots, found.note) == (2, 3, "not every root has all orders")
    assert found.difference == pytest.approx(1)
    for part in (scores[scores.order != "none"], scores[scores.order == "none"]):
        alone = gain_contrasts(part, chosen(part)).iloc[0]
        assert alone.roots == alone.orders == 0 and pd.isna(alone.difference)


def test_two_settings_of_one_order_and_method_are_refused():
    scores = table(run("none", "full", 0, 50), run("none", "full", 0, 50, learning_rate=1e-2))
    with pytest.raises(ValueError, match="two of none full"):
        method_contrasts(scores, chosen(scores, ()))


# --- orders -----------------------------------------------------------------------------------------------------------


def test_the_spread_of_orders_is_that_of_their_means_over_roots():
    def value(method, order, root):
        return 50 + root + {"none": 0, "a": 2, "b": 4, "a>b": 9}[order] + jitter(method, order, root)

    scores = study(value)
    means = [np.mean([value("full", order, root) for root in ROOTS]) for order in ORDERS]
    found = order_effect(scores, chosen(scores)).set_index("method").loc["full"]
    assert found.sd == pytest.approx(np.std(means, ddof=1))
    assert found.range == pytest.approx(max(means) - min(means)) and found.orders == 4
    assert not found.identical and f"{found.range:.2f} points" in found.sentence


def test_a_frozen_encoder_can_have_no_effect_of_order():
    def value(method, order, root):
        return 50 + root + jitter(root) if method == "probe" else 50 + root + jitter(order)

    scores = study(value, ("full", "probe"))
    found = order_effect(scores, chosen(scores)).set_index("method")
    assert found.identical.to_dict() == {"full": False, "probe": True}
    assert found.sentence["probe"] == NO_EFFECT and found.range["probe"] == 0
    # One cell that differs by the last bit is a difference, even where means still tie.
    one = scores.index[(scores.method == "probe") & (scores.order == "a")][0]
    scores.loc[one, "value"] = np.nextafter(scores.value[one], 1)
    assert not order_effect(scores, chosen(scores)).set_index("method").identical["probe"]


def test_a_lost_root_does_not_look_like_an_effect_of_order():
    scores = study(lambda m, order, root: None if (order, root) == ("a", 3) else 50 + 20 * root, ("full",))
    found = order_effect(scores, chosen(scores)).iloc[0]
    assert found.range == pytest.approx(0) and not found.identical


def test_one_order_is_nothing_to_compare():
    scores = study(lambda method, order, root: 50, ("full",), ("a",))
    found = order_effect(scores, chosen(scores)).iloc[0]
    assert found.sentence == "nothing to compare: 1 order" and not found.identical
    assert pd.isna(found.sd)


def test_gains_over_the_empty_order_are_paired():
    scores = study(lambda m, order, root: 50 + 10 * root + {"none": 0, "a": 2, "b": -1, "a>b": 5}[order], ("full",))
    found = order_gains(scores, chosen(scores)).set_index("order")
    assert found.gain.to_dict() == pytest.approx({"none": 0, "a": 2, "b": -1, "a>b": 5})
    assert found.half_width.tolist() == pytest.approx([0] * 4, abs=1e-9)
    without = scores[scores.order != "none"]
    assert order_gains(without, chosen(without)).gain.isna().all()


# --- method × difficulty ----------------------------------------------------------------------------------------------

DIFFICULTY = {**{f"high{i}": "high" for i in range(4)}, **{f"low{i}": "low" for i in range(3)}}


def gains(method, order, root):
    """Hard tasks gain 6 points more under the adapter than under full, easy ones 1 more; roots differ by 10."""
    if order == "none":
        return 40 + 10 * root
    extra = {"high": 6, "low": 1, "sham": 30, "both": 30}[order.rstrip("0123456789>")[:4].rstrip("0123456789>")]
    return 40 + 10 * root + 5 + jitter(order) + (extra + jitter(method, order)) * (method == "adapter")


def test_the_planted_interaction_is_found_with_welchs_interval_over_tasks():
    orders = ("none", *DIFFICULTY, "sham-1", "both1>high1")
    scores = study(gains, orders=orders, roots=range(2))
    found = complexity(noise(scores), chosen(scores), DIFFICULTY)
    assert found.tasks.task.tolist() == list(DIFFICULTY)  # neither controls nor longer orders
    difference = {task: gains("adapter", task, 0) - gains("full", task, 0) for task in DIFFICULTY}
    assert found.tasks.set_index("task").difference.to_dict() == pytest.approx(difference)
    high, low = ([v for task, v in difference.items() if DIFFICULTY[task] == name] for name in ("high", "low"))
    expected = stats.ttest_ind(high, low, equal_var=False).confidence_interval()
    mean, half = found.interaction.mean, found.interaction.half_width
    assert mean == pytest.approx(5, abs=2) and (mean - half, mean + half) == pytest.approx(tuple(expected))
    assert found.interaction.n == 7


def test_a_gain_is_over_the_roots_that_have_both_orders_under_both_methods():
    def value(method, order, root):
        return (
            None
            if (method, order, root) in {("adapter", "high0", 0), ("full", "none", 1)}
            else gains(method, order, root)
        )

    scores = study(value, orders=("none", *DIFFICULTY), roots=range(3))
    tasks = complexity(scores, chosen(scores), DIFFICULTY).tasks.set_index("task")
    assert tasks.roots.to_dict() == {**dict.fromkeys(DIFFICULTY, 2), "high0": 1}
    assert tasks.gain_full["high0"] == pytest.approx(5 + jitter("high0"))


def test_one_task_a_class_has_no_interval():
    scores = study(gains, orders=("none", "high0", "low0", "low1"))
    found = complexity(scores, chosen(scores), DIFFICULTY).interaction
    assert found.mean == pytest.approx(5, abs=3) and found.half_width is None
    assert found.reason == "1 high task and 2 low tasks: an interval needs 2 of each"


def test_without_the_empty_order_or_a_method_there_is_no_gain():
    scores = study(gains, orders=("none", *DIFFICULTY))
    for part in (scores[scores.order != "none"], scores[scores.method == "full"]):
        found = complexity(part, chosen(part), DIFFICULTY)
        assert found.tasks.empty and found.interaction.mean is None
    with pytest.raises(ValueError, match="must be one of"):
        complexity(scores, chosen(scores), {"high0": "hard"})


# --- icl × training ---------------------------------------------------------------------------------------------------


def decoder(method, order, root):
    """Training adds 4 points to icl and 10 to fine-tuning, which is 20 better before; noise is within cells."""
    after = 0 if order == "none" else (10 if method == "full" else 4)
    return 30 + 3 * root + after + 20 * (method == "full") + jitter(method, order, root)


def test_the_planted_two_by_two_is_found_with_scipys_paired_intervals():
    scores = study(decoder, ("icl", "full"))
    found = two_by_two(noise(scores), chosen(scores))
    cells = found.cells.set_index(["order", "method"]).score
    cell = {
        (name, method): [np.mean([decoder(method, order, root) for order in orders]) for root in ROOTS]
        for name, orders in (("none", ["none"]), ("after", ORDERS[1:]))
        for method in ("icl", "full")
    }
    assert cells.to_dict() == pytest.approx({key: np.mean(values) for key, values in cell.items()})
    before, after, before_full, after_full = (
        np.array(cell[key]) for key in (("none", "icl"), ("after", "icl"), ("none", "full"), ("after", "full"))
    )
    expected = {
        "training": (after + after_full - before - before_full) / 2,
        "method": (before_full + after_full - before - after) / 2,
        "interaction": (after_full - before_full) - (after - before),
        "instead": after - before_full,
    }
    for name, truth in {"training": 7, "method": 23, "interaction": 6, "instead": -16}.items():
        estimate = getattr(found, name)
        assert estimate.mean == pytest.approx(truth, abs=1.5)
        low, high = stats.ttest_1samp(expected[name], 0).confidence_interval()
        assert (estimate.mean - estimate.half_width, estimate.mean + estimate.half_width) == pytest.approx((low, high))
    assert found.orders == 3


def test_only_roots_with_all_four_cells_count():
    def value(method, order, root):
        return None if (method, order, root) == ("icl", "none", 1) else decoder(method, order, root)

    scores = study(value, ("icl", "full"))
    found = two_by_two(scores, chosen(scores))
    assert found.interaction.n == 3
    cells = found.cells.set_index(["order", "method"]).score
    assert cells["none", "full"] == pytest.approx(np.mean([decoder("full", "none", root) for root in (0, 2, 3)]))
    after = [decoder("full", order, root) for order in ORDERS[1:] for root in (0, 2, 3)]
    assert cells["after", "full"] == pytest.approx(np.mean(after))


def test_a_missing_cell_leaves_no_effect():
    for lost in ({"order": "none"}, {"method": "icl"}):
        scores = study(decoder, ("icl", "full"))
        for column, value in lost.items():
            scores = scores[scores[column] != value]
        found = two_by_two(scores, chosen(scores))
        assert found.interaction.mean is None and found.training.mean is None
