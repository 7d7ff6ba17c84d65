"""How many stages a study has, by closed formulas: a space is too large to list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.plan import trunk
from trainables.methods import IN_CONTEXT

if TYPE_CHECKING:
    from search.study import Study


def counts(study: Study) -> dict[str, int]:
    """Stages of all candidates and seeds and of the seed control, without listing a large space: naive (each run alone)
    and distinct.

    What is perturbed is scored in stages of its own, as many for all candidates; forgetting is measured once for each
    task that an order's prefix has. Beyond common prefixes some things
    coincide: the empty order's untrained targets are scored once for all arms and seeds (with language adapters once
    more), since nothing there is random; an arm that carries nothing has the same stages whatever the order; a prompt
    of length 0 is the probe; and a target's own stage is the intermediate stage of its training task where their
    budgets agree. The last is counted for ordered subsets, and left in (an upper bound) for other spaces, as are stages
    that coincide because a target has a learning rate of its own.
    """
    orders, settings, controls = study.space.orders, study.settings, study.space.controls
    own = {name: training.model_dump_json() for name, training in settings.train.targets.items()}
    trained = {(target.trained_on, own.get(target.name)) for target in study.targets if target.trained_on}
    scores = {target.name: 1 + sum(1 for _ in study.perturbations_of(target)) for target in study.targets}
    scorings = sum(scores.values())
    untrained = sum(scores[target.name] for target in study.targets if not target.trained_on)
    every = orders.size + len(controls)
    empty = bool(orders.size) and not orders[0].groups
    carrying = [arm for arm in study.space.arms if study.carries(arm)]
    idle = [arm for arm in study.space.arms if not study.carries(arm)]
    different = {(trunk(arm), arm.method if arm.method in IN_CONTEXT else ""): arm for arm in carrying}.values()
    in_context = [arm.method for arm in different if arm.method in IN_CONTEXT]
    leaves = {arm: scorings + (0 if arm.method in IN_CONTEXT else len(trained)) for arm in study.space.arms}
    naive = sum(leaves.values()) * every + len(carrying) * (orders.naive_stages() + sum(map(len, controls)))
    distinct = len(set(map(trunk, carrying))) * (orders.distinct_stages() + max(map(len, controls), default=0))
    rates = len({arm.learning_rate for arm in idle})
    distinct += sum(leaves[arm] - scorings for arm in different) * every + rates * len(trained)
    if orders.kind == "subsets":
        shared = len(_like_intermediate(study)) * orders.distinct_stages() // max(1, len(study.intermediate))
        distinct -= sum(arm.method not in IN_CONTEXT for arm in different) * shared
    measured = len(settings.representations)
    if measured:  # after each training stage, and once of the base model
        stages = naive - scorings * every * len(study.space.arms)
        naive += measured * (stages + every * len(study.space.arms))
        distinct += measured * distinct
    followed = study.followed
    if followed:
        chain = [sum(task in followed for task in one.tasks) for one in controls]  # each a prefix of the next
        summed = sum(sum(chain[:length]) for length in range(1, len(chain) + 1))
        naive += len(carrying) * (orders.naive_trained(followed) + summed)
        distinct += len(set(map(trunk, carrying))) * (orders.distinct_trained(followed) + sum(chain))
    distinct += sum(scorings * every - empty * untrained * (arm.method not in IN_CONTEXT) for arm in different)
    distinct += rates * (scorings - untrained)
    # Without an order nothing was trained, so in context the learning rate makes no difference.
    distinct -= empty * scorings * (len(in_context) - len(set(in_context)))
    naive, distinct = naive * settings.seeds, distinct * settings.seeds
    scored = [*idle, *(arm for arm in carrying if empty and arm.method not in IN_CONTEXT)]
    for times, arms in ((untrained, scored), (measured, study.space.arms)):
        distinct += times * len({bool(study.language_folder) and arm.method == "adapter" for arm in arms})
    if study.seed_control:
        naive += sum(len(study.stages(*run)) for run in study.seed_control.runs)
        distinct += len(study.seed_control.stages(study))
    return {"candidates": study.space.size, "stages_naive": naive, "stages_distinct": distinct}


def _like_intermediate(study: Study) -> set[str]:
    """Intermediate tasks that some target is trained on, with the budget of an intermediate stage."""
    budget = study.settings.train
    if (budget.steps, budget.epochs) != (budget.target_steps, budget.target_epochs) or budget.rows != "all":
        return set()
    plain = {target.trained_on for target in study.targets if target.name not in budget.targets}
    return {task.name for task in study.intermediate} & plain
