"""The curves of a study: regret against evaluations and against stage cost, as one HTML file that needs no network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import qualitative
from plotly.subplots import make_subplots

from benchmarks.strategies.compare import Floats, on_grid, t_interval

AXES = {"evaluations": "evaluations", "cost": "stage cost, units"}


class Curve(NamedTuple):
    """A strategy's mean regret over seeds and its 95 % interval, along one axis."""

    problem: str
    strategy: str
    axis: str
    x: Floats
    mean: Floats
    low: Floats
    high: Floats


def curves(rows: pd.DataFrame) -> list[Curve]:
    """A curve a problem, axis and strategy, where all of its seeds have a value."""
    found = []
    for problem in dict.fromkeys(rows.problem):
        mine = rows[rows.problem == problem]
        for axis in AXES:
            grid = np.linspace(mine[axis].min(), mine[axis].max(), 101)
            for strategy in dict.fromkeys(mine.strategy):
                regrets = on_grid(rows, problem, strategy, axis, grid)
                whole = ~np.isnan(regrets).any(0)
                intervals = np.array([t_interval(column) for column in regrets[:, whole].T]).reshape(-1, 3)
                found.append(Curve(problem, strategy, axis, grid[whole], *intervals.T))
    return found


def write(rows: pd.DataFrame, path: Path) -> None:
    """Draw `curves` and write the file."""
    found = curves(rows)
    problems, strategies = list(dict.fromkeys(rows.problem)), list(dict.fromkeys(rows.strategy))
    figure = make_subplots(
        rows=len(problems), cols=len(AXES),
        subplot_titles=[f"{problem}: regret against {axis}" for problem in problems for axis in AXES.values()],
    )  # fmt: skip
    for curve in found:
        colour = qualitative.D3[strategies.index(curve.strategy) % len(qualitative.D3)]
        place = {"row": problems.index(curve.problem) + 1, "col": list(AXES).index(curve.axis) + 1}
        shared = {"legendgroup": curve.strategy, "name": curve.strategy}
        first = place == {"row": 1, "col": 1}
        figure.add_trace(
            go.Scatter(x=curve.x, y=curve.mean, line={"color": colour}, showlegend=first, **shared), **place
        )
        if not any(map(math.isnan, curve.low)):
            around = {"x": [*curve.x, *curve.x[::-1]], "y": [*curve.high, *curve.low[::-1]]}
            figure.add_trace(
                go.Scatter(
                    **around, fill="toself", fillcolor=colour, opacity=0.15, line={"width": 0}, mode="lines",
                    hoverinfo="skip", showlegend=False, **shared,
                ),
                **place,
            )  # fmt: skip
    figure.update_yaxes(title_text=f"mean regret, {rows.unit.iloc[0]}", rangemode="tozero")
    figure.update_layout(height=380 * len(problems), template="plotly_white")
    path.write_text(figure.to_html(include_plotlyjs=True), "utf-8")
