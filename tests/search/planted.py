"""Long tables of scores in which the truth is known."""

from __future__ import annotations

import pandas as pd


def row(order, method, seed, target, language, value, **more):
    """One main score in percent of a candidate's at the full budget; columns by name in `more`."""
    rate, length = more.pop("learning_rate", 1e-3), more.pop("prompt_length", None)
    name = f"{order} {method} {rate!r}" + (f" p{length}" if length is not None else "")
    return {
        "candidate": name, "order": order, "method": method, "learning_rate": rate, "prompt_length": length,
        "budget": 1.0, "seed": seed, "target": target, "language": language, "portion": "test",
        "perturbation": "none", "severity": 0, "metric": "accuracy", "main": True, "value": value / 100, "n": 100,
        "stderr": 0.01, "apart": False, "stage": "", **more,
    }  # fmt: skip


def run(order, method, seed, test, dev=None, **more):
    """One candidate at one root: two targets, of which xnli has English dev; languages 2 points about the mean `test`.

    `test` and `dev` are percent; the dev score is the test score where it is not given.
    """
    tests = [
        row(order, method, seed, target, language, test + off, **more)
        for target in ("xnli", "tatoeba")
        for language, off in (("de", 2), ("sw", -2))
    ]
    return [*tests, row(order, method, seed, "xnli", "en", test if dev is None else dev, portion="dev", **more)]


def table(*runs):
    """The long table of some runs."""
    return pd.DataFrame([one for rows in runs for one in rows]).astype({"prompt_length": "Int64"})


def noise(scores):
    """Rows that must not count, added to a table: other metrics, portions, stages, budgets, perturbed, apart."""
    other = [
        {"main": False, "metric": "f1"}, {"portion": "search"}, {"stage": "after 1"}, {"perturbation": "typos"},
        {"apart": True, "language": "my"}, {"budget": 1 / 3, "candidate": "of a smaller budget"},
    ]  # fmt: skip
    return pd.concat([*(scores.assign(value=1.0, **changed) for changed in other), scores], ignore_index=True)
