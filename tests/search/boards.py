"""Small tables of scores by hand, and their leaderboards."""

from __future__ import annotations

import pandas as pd

from search.leaderboard import leaderboard

ABOUT = {"title": "Task orders on mini", "notes": ["score: mean over targets", "one root | two roots"]}

HOSTILE = "=cmd()|<script>alert(1)</script> *bold* [link](http://x) `code` &lt; \\| a\nb"


def scores(values, **changed):
    """The long table from {order: [{target: {language: percent}} for each root]}."""
    rows = []
    for order, roots in values.items():
        for seed, targets in enumerate(roots):
            for target, languages in (targets or {}).items():
                for language, value in languages.items():
                    rows.append({
                        "candidate": f"{order} full 0.001", "order": order, "method": "full", "learning_rate": 1e-3,
                        "seed": seed, "target": target, "language": language, "portion": "test",
                        "perturbation": "none", "severity": 0, "metric": "accuracy", "main": True,
                        "value": value / 100, "n": 100, "stderr": 0.01, "apart": False, "prompt_length": None,
                        "budget": 1.0, "stage": "", **changed,
                    })  # fmt: skip
    return pd.DataFrame(rows)


def board_of(values, cost=None):
    return leaderboard(scores(values), cost or {}, "test")


def row_of(board, order):
    return board[board.order == order].iloc[0]


TWO = {
    "none": [{"xnli": {"en": 60, "de": 50, "sw": 40}, "tatoeba": {"de": 30, "sw": 10}}] * 2,
    "a": [
        {"xnli": {"en": 70, "de": 60, "sw": 50}, "tatoeba": {"de": 50, "sw": 30}},
        {"xnli": {"en": 80, "de": 70, "sw": 60}, "tatoeba": {"de": 60, "sw": 40}},
    ],
    "a>b": [{"xnli": {"en": 72, "de": 66, "sw": 60}, "tatoeba": {"de": 42, "sw": 38}}] * 2,
}
