"""The five questions: a true effect is answered, a null is not claimed, and what was not asked names the command."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import replace

import pandas as pd
import pytest
from made_runs import made_run

from search.analysis.designs import Designs
from search.analysis.findings import EXPLORATORY, with_q
from search.analysis.five_questions import (
    HINT,
    NO,
    NOT_ASKED,
    NOT_SHOWN,
    OPEN,
    QUESTIONS,
    YES,
    five_questions,
    holds_for,
)
from search.analysis.primary import primary
from search.cli import run_parser
from search.results import load
from search.settings import load_settings, parse_overrides

TASKS = ("mini-nli", "mini-tags", "mini-topic")


def made(tmp_path, **options):
    return load([made_run(tmp_path / "run", **{"tasks": TASKS[:2], "seed": 5, **options})])


def answered(results, *names):
    """The questions' table, of these findings alone."""
    designs = Designs(results)
    first = primary(designs).table.to_dict("records")[0]
    found = with_q([EXPLORATORY[name][1](designs) for name in names], first)
    return five_questions(designs, {one.name: one for one in found}, first)


def part(found, number, name):
    rows = found.table[(found.table.number == number) & (found.table.part == name)]
    return rows.to_dict("records")[0]


def shifted(results, points, **where):
    """The results with `points` added to test scores of these columns' values."""
    scores = results.scores
    mask = scores.portion == "test"
    for column, values in where.items():
        mask &= scores[column].isin(values)
    return replace(results, scores=scores.assign(value=scores.value + mask * points / 100))


def rated(results, **ratings):
    """The results of a study whose tasks have these difficulties."""
    tasks = {name.replace("_", "-"): {"difficulty": {"rating": rating}} for name, rating in ratings.items()}
    run = replace(results.runs[0], manifest={**results.manifest, "tasks": tasks})
    return replace(results, runs=(run,))


# --- order ------------------------------------------------------------------------------------------------------------


def test_a_true_order_effect_is_answered_with_its_size(tmp_path):
    frozen = {"outcome": "score", "contrast": "order", "test": "F"}
    results = made(tmp_path, tasks=TASKS, roots=5, order_sd=4.0, edits=("keyboard",), primary=frozen)
    found = answered(results, "order", "order_by_family")
    one = part(found, 1, "accuracy")
    assert one["verdict"] == YES and one["kind"] == "primary" and pd.isna(one["q"])
    assert "SDs of seed noise" in one["answer"] and "95 %" in one["answer"]
    assert one["answer"].endswith("This is the primary contrast, fixed before the run.")
    two = part(found, 2, "edits")
    assert two["verdict"] == YES and "other languages than English" in two["answer"]
    assert f"Exploratory, q = {two['q']:.2g} among all exploratory tests" in two["answer"]
    assert part(found, 1, "families")["verdict"] == YES
    assert part(found, 2, "attacks")["verdict"] == NOT_ASKED


def test_a_null_is_not_claimed_and_says_what_it_would_take(tmp_path):
    results = made(
        tmp_path, tasks=TASKS, roots=4, order_sd=0.0, set_sd=3.0, edits=("keyboard",), attacks=("deepwordbug",)
    )
    found = answered(results, "order", "order_by_family")
    for number, name in ((1, "accuracy"), (1, "robustness"), (1, "families"), (2, "edits"), (2, "attacks")):
        row = part(found, number, name)
        assert row["verdict"] == NOT_SHOWN, (number, name)
        assert "not shown" in row["answer"] or "in none of" in row["answer"]
        if name != "families":
            assert row["p"] > 0.05 and "points would be shown in 4 of 5 studies" in row["answer"]
            needed = row["needed"]
            assert row["command"] == (
                "" if pd.isna(needed) else f"order-search run --space orders --seeds {needed:.0f}"
            )


def test_below_three_roots_nothing_is_answered(tmp_path):
    found = answered(made(tmp_path, roots=2, order_sd=9.0), "order", "order_by_family")
    for name in ("accuracy", "families"):
        row = part(found, 1, name)
        assert row["verdict"] == OPEN and "too little to say" in row["answer"]
    assert "--seeds" in part(found, 1, "accuracy")["command"]


def test_what_only_p_shows_is_a_hint(tmp_path):
    results = made(tmp_path, tasks=TASKS, roots=6, order_sd=3.0, edits=("keyboard",))
    designs = Designs(results)
    first = primary(designs).table.to_dict("records")[0]
    order = EXPLORATORY["order"][1](designs)
    others = replace(order, name="others", table=pd.DataFrame({"p": [0.9] * 40}))
    found = {one.name: one for one in with_q([order, others], first)}
    row = part(five_questions(designs, found, first), 1, "robustness")
    assert row["p"] == pytest.approx(2 / 2**6) and row["q"] > 0.05 and row["verdict"] == HINT
    assert "so a hint and no more" in row["answer"] and "no smaller p than 0.031" in row["answer"]


# --- the other questions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("points", "verdict"), [(6.0, YES), (-6.0, NO)])
def test_in_context_against_fine_tuning(tmp_path, points, verdict):
    results = made(tmp_path, tasks=TASKS[:1], methods=("icl", "full"), roots=5, set_sd=0.0, luck_sd=0.2, leaf_sd=0.2,
                   settings={"answer": "icl", "suite": "mini-icl"})  # fmt: skip
    found = answered(shifted(results, points, method=["icl"], order=["mini-nli"]), "icl")
    row = part(found, 3, "accuracy")
    assert row["verdict"] == verdict and row["low"] < points < row["high"]
    assert f"a difference of {row['estimate']:+.2f} points" in row["answer"]
    assert part(found, 3, "robustness")["command"].endswith("--perturbations standard")


def test_difficulty_is_asked_over_tasks(tmp_path):
    tasks = ("mini-nli", "mini-tags", "mini-topic", "mini-paraphrase")
    results = made(tmp_path, tasks=tasks, max_length=1, methods=("adapter", "full"), roots=3, set_sd=0.2, luck_sd=0.1,
                   leaf_sd=0.1, settings={"answer": "complexity"})  # fmt: skip
    results = rated(results, mini_nli="high", mini_tags="high", mini_topic="low", mini_paraphrase="low")
    row = part(answered(shifted(results, 5.0, method=["adapter"], order=list(tasks[:2])), "complexity"), 4, "accuracy")
    assert row["verdict"] == YES and row["unit"] == "tasks" and row["low"] < 5 < row["high"] and row["n"] == 4
    null = part(answered(results, "complexity"), 4, "accuracy")
    assert null["verdict"] == NOT_SHOWN and "tasks of each kind" in null["answer"] and null["command"] == ""


def of_lengths(results, lengths):
    """The results with every prompt candidate at several lengths, each 3 points above the one before."""
    tables = {}
    for name in ("scores", "candidates"):
        table = getattr(results, name).astype({"candidate": object})
        own = table[table.method == "prompt"]
        more = [own.assign(candidate=own.candidate + f" p{n}", prompt_length=n) for n in lengths]
        tables[name] = pd.concat([table[table.method != "prompt"], *more], ignore_index=True)
    settings = results.settings.model_copy(update={"prompt_length": list(lengths)})
    found = replace(results, runs=(replace(results.runs[0], settings=settings),), **tables)
    for (place, length), root in itertools.product(enumerate(lengths), range(results.seeds)):
        luck = 0.3 * ((place + 1) * (root + 1) % 5 - 2)
        found = shifted(found, 3.0 * place + luck, prompt_length=[length], seed=[root])
    return found


def test_prompts_are_compared_in_length_and_with_fine_tuning(tmp_path):
    results = of_lengths(made(tmp_path, methods=("prompt", "full"), roots=4, luck_sd=0.3, leaf_sd=0.3), (8, 16, 32))
    found = answered(results, "prompts")
    length = part(found, 5, "prompt length")
    assert length["verdict"] == YES and length["measured"] == "SD" and length["low"] < 3 < length["high"]
    assert "The prompt's length matters for the score" in length["answer"]
    assert "The highest mean is at 32 of 8, 16, 32." in length["answer"]
    assert part(found, 5, "learning rate")["verdict"] == NOT_ASKED
    against = part(found, 5, "prompt − full")
    assert against["verdict"] in (YES, NOT_SHOWN, HINT) and against["measured"] == "difference"


# --- what was not asked -----------------------------------------------------------------------------------------------


def test_what_was_not_asked_names_a_command_that_is_right(tmp_path):
    found = answered(made(tmp_path, max_length=1, roots=3), "order", "order_by_family", "icl", "complexity", "prompts")
    assert set(found.table.number) == set(QUESTIONS)
    assert (found.table.verdict == NOT_ASKED).all()
    for row in found.table.itertuples():
        program, verb, *flags = shlex.split(row.command)
        assert (program, verb) == ("order-search", "run")
        given = vars(run_parser().parse_args(flags))
        given.pop("debug"), given.pop("dry_run")
        overrides = parse_overrides(given.pop("set"))
        settings, _ = load_settings(given, overrides)
        assert f"`{row.command}` would." in row.answer or row.part == "families"
        if row.number == 3:
            assert settings.answer == "icl"
        if row.part in ("accuracy", "families") and row.number == 1:
            assert settings.orders.max_length == 2
        if row.number == 2:
            assert settings.perturbations


def test_every_answer_says_what_it_cannot_say_and_for_what_it_holds(tmp_path):
    results = made(tmp_path, roots=3)
    found = answered(results, "order")
    assert found.table.cannot.str.len().min() > 20
    assert "the one pretrained checkpoint that was searched (micro)" in found.notes[0]
    limited = replace(results, runs=(replace(results.runs[0], manifest={**results.manifest, "limited": 50}),))
    assert "LIMITED to 50 a split" in holds_for(limited)
