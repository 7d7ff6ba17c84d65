"""Pictures as plotly figures: plain dictionaries of data and layout, made from `Picture.data` alone.

Plotly reads a little HTML in its labels, so every text from a study is escaped here (`label`). Colours that depend on
the theme are named, and put in by `theme.themed` or by the page's script. `min_width` in `layout.meta` is the width in
pixels below which a figure scrolls inside its box instead of shrinking.
"""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from search.report.parts import Picture
from search.report.theme import FIRST, GROUND, MUTED

Figure = dict[str, Any]
Data = Mapping[str, Any]

LONGEST = 48
"""Characters of a label; the middle of a longer one is left out."""

WRITTEN = 12
"""Columns of a matrix up to which its figures are written into it."""

NAMED = 6
"""The best orders that a map names, as far as there is room."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "star", "x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")

_TURNING = re.compile("[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufeff]")
"""Letters that are written from the right, and marks that turn the direction."""
_MARKS = re.compile("[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def draw(picture: Picture) -> Figure:
    """The figure of a picture."""
    figure = DRAWINGS[picture.kind](picture.data)
    figure["layout"].setdefault("meta", {"min_width": 320})
    return figure


def label(text: str) -> str:
    """A text as plotly shows it: no markup, on one line, no mark that turns what stands beside it, at most LONGEST."""
    plain = " ".join(_MARKS.sub(" ", text).split())
    if len(plain) > LONGEST:
        half = (LONGEST - 1) // 2
        plain = f"{plain[:half]}…{plain[-half:]}"
    isolated = f"\u2068{plain}\u2069" if _TURNING.search(plain) else plain
    return html.escape(isolated, quote=False)


def labels(texts: Iterable[str]) -> list[str]:
    """Labels no two of which are alike: axes of categories would take them for one."""
    found, seen = [], Counter[str]()
    for text in map(label, texts):
        seen[text] += 1
        found.append(text if seen[text] == 1 else f"{text} ({seen[text]})")
    return found


def _wide(names: Sequence[str]) -> int:
    """The room that labels take, in pixels."""
    return 24 + round(6.4 * max(map(len, names), default=0))


def _heat(data: Data) -> Figure:
    rows, columns, gap = labels(data["rows"]), labels(data["full"]), data["scale"] == "gap"
    unit = label(data["unit"])
    cell = max(3.0, min(22.0, 880 / len(rows)))
    high = cell * len(rows)
    ends = [i for i in range(1, len(columns)) if data["groups"][i] != data["groups"][i - 1]]
    starts = [0, *ends]
    notes = [
        {"x": start - 0.35, "y": 1, "xref": "x", "yref": "paper", "yanchor": "bottom", "xanchor": "left",
         "textangle": -38, "text": label(data["groups"][start]), "yshift": 2}
        for start in starts
    ]  # fmt: skip
    lines = [
        {"type": "line", "xref": "x", "yref": "paper", "x0": end - 0.5, "x1": end - 0.5, "y0": 0, "y1": 1,
         "line": {"color": GROUND, "width": 4}}
        for end in ends
    ]  # fmt: skip
    trace = {
        "type": "heatmap", "x": columns, "y": rows, "z": data["values"], "coloraxis": "coloraxis", "hoverongaps": False,
        "xgap": 1, "ygap": 1 if cell > 6 else 0,
        "hovertemplate": f"%{{y}}<br>%{{x}}: <b>%{{z:.1f}}</b> {unit}<extra></extra>",
    }  # fmt: skip
    return {"data": [trace], "layout": {
        "height": round(high + 230), "annotations": notes, "shapes": lines, "dragmode": "zoom",
        "margin": {"l": 8, "r": 8, "t": 96, "b": 8},
        "xaxis": {"type": "category", "tickangle": -50, "showgrid": False, "side": "bottom", "fixedrange": True},
        "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False, "nticks": min(len(rows), 60)},
        "coloraxis": {"colorscale": "loss" if gap else "sequential",
                      "colorbar": {"title": {"text": unit}, "len": min(1.0, 260 / high), "y": 1, "yanchor": "top"}},
        "meta": {"min_width": _wide(rows) + 22 * len(columns) + 110},
    }}  # fmt: skip


def _matrix(data: Data) -> Figure:
    rows, columns = labels(data["rows"]), labels(data["columns"])
    values = data["values"]
    most = data.get("most") or max([abs(v) for row in values for v in row if v is not None], default=1.0) or 1.0
    many = len(columns) > WRITTEN
    texts = [
        [_signed(v) + (" ●" if mark else "") for v, mark in zip(own, marks, strict=True)]
        for own, marks in zip(values, data["marks"], strict=True)
    ]
    trace = {
        "type": "heatmap", "x": columns, "y": rows, "z": values, "coloraxis": "coloraxis", "hoverongaps": False,
        "xgap": 1 if many else 2, "ygap": 1 if many else 2,
        **({} if many else {"text": texts, "texttemplate": "%{text}"}),
        "hovertemplate": f"%{{y}} · %{{x}}: <b>%{{z:+.2f}}</b> {label(data['unit'])}<extra></extra>",
    }  # fmt: skip
    return {"data": [trace], "layout": {
        "height": 190 + 17 * len(rows) if many else 130 + 52 * len(rows),
        "coloraxis": {"colorscale": "diverging", "cmin": -most, "cmax": most,
                                                      "colorbar": {"title": {"text": label(data["unit"])}}},
        "xaxis": {"type": "category", "title": {"text": label(data["column_title"])}, "showgrid": False, "side": "top",
                  "zeroline": False},
        "yaxis": {"type": "category", "title": {"text": label(data["row_title"])}, "showgrid": False,
                  "autorange": "reversed"},
        "meta": {"min_width": _wide(rows) + (17 if many else 64) * len(columns) + 110},
    }}  # fmt: skip


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}".replace("-", "−")


def _forest(data: Data) -> Figure:
    rows = data["rows"]
    names, traces = labels(row["label"] for row in rows), []
    for shown, what in ((True, "shown"), (False, "not shown")):
        kept = [(name, row) for name, row in zip(names, rows, strict=True) if bool(row["shown"]) is shown]
        if not kept:
            continue
        ends = [(row["low"], row["high"], row["estimate"]) for _, row in kept]
        traces.append({
            "type": "scatter", "mode": "markers", "name": what, "x": [row["estimate"] for _, row in kept],
            "y": [name for name, _ in kept],
            "marker": {"size": 9, "symbol": "circle" if shown else "circle-open", "color": FIRST,
                       "line": {"width": 1.6, "color": FIRST}},
            "error_x": {"type": "data", "symmetric": False, "thickness": 1.4, "width": 0, "color": FIRST,
                        "array": [None if high is None else round(high - middle, 3) for _, high, middle in ends],
                        "arrayminus": [None if low is None else round(middle - low, 3) for low, _, middle in ends]},
            "hovertemplate": f"%{{y}}: <b>%{{x:+.2f}}</b> {label(data['unit'])}<extra>{what}</extra>",
        })  # fmt: skip
    return {"data": traces, "layout": {
        "height": 110 + 24 * len(rows), "showlegend": len(traces) > 1,
        "xaxis": {"title": {"text": label(data["unit"])}, "zerolinewidth": 1.5, "rangemode": "tozero"},
        "yaxis": {"type": "category", "categoryorder": "array", "categoryarray": names[::-1], "showgrid": False,
                  "range": [-0.7, len(names) - 0.3]},
        "meta": {"min_width": _wide(names) + 280},
    }}  # fmt: skip


def _scatter(data: Data) -> Figure:
    traces = []
    for front, what in ((False, "beaten"), (True, "on the front")):
        points = [one for one in data["points"] if one["front"] is front]
        if not points:
            continue
        names = [label(one["label"]) for one in points]
        written = front and len(points) <= 10
        traces.append({
            "type": "scatter", "mode": "markers+text" if written else "markers", "name": what, "customdata": names,
            "x": [one["x"] for one in points], "y": [one["y"] for one in points],
            "text": names if written else None, "textposition": _sides(points), "cliponaxis": False,
            "marker": {"size": 10 if front else 7, "symbol": "circle" if front else "circle-open",
                       "color": FIRST if front else MUTED, "line": {"width": 1.2}},
            "hovertemplate": (
                f"<b>%{{customdata}}</b><br>{label(data['x'])} %{{x:.1f}}<br>{label(data['y'])} %{{y:.1f}}"
                f"<extra>{what}</extra>"
            ),
        })  # fmt: skip
    return {"data": traces, "layout": {
        "height": 470, "xaxis": {"title": {"text": label(f"{data['x']}, {data['x_unit']}")}, "zeroline": False},
        "yaxis": {"title": {"text": label(f"{data['y']}, {data['y_unit']}")}, "zeroline": False}, "showlegend": True,
        "margin": {"l": 8, "r": 24, "t": 16, "b": 8}, "meta": {"min_width": 340},
    }}  # fmt: skip


def _sides(points: Sequence[Data]) -> list[str]:
    """Labels of points in the right half stand on their left, so that they stay in the picture."""
    middle = (max(one["x"] for one in points) + min(one["x"] for one in points)) / 2
    return ["middle left" if one["x"] > middle else "middle right" for one in points]


def _lines(data: Data) -> Figure:
    traces = []
    for i, one in enumerate(data["series"]):
        halves = one["half"] if any(half is not None for half in one["half"]) else None
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": label(one["name"]), "x": one["x"], "y": one["y"],
            "line": {"width": 2.2, "dash": DASHES[i % len(DASHES)]},
            "marker": {"size": 8, "symbol": SYMBOLS[i % len(SYMBOLS)]},
            **({"error_y": {"type": "data", "array": halves, "thickness": 1.1, "width": 3}} if halves else {}),
            "hovertemplate": "%{y:.1f}",
        })  # fmt: skip
    ticks = data.get("ticks")
    x: dict[str, Any] = {"title": {"text": label(data["x"])}, "showgrid": False, "zeroline": False}
    if ticks:
        x |= {"tickvals": list(range(len(ticks))), "ticktext": labels(ticks), "range": [-0.25, len(ticks) - 0.75]}
    elif data.get("whole"):
        x |= {"tickvals": sorted({v for one in data["series"] for v in one["x"]})}
    return {"data": traces, "layout": {
        "height": 430, "xaxis": x, "yaxis": {"title": {"text": label(data["y"])}, "zeroline": False},
        "hovermode": "x unified", "showlegend": True, "hoverlabel": {"namelength": -1}, "meta": {"min_width": 340},
    }}  # fmt: skip


def _landscape(data: Data) -> Figure:
    points = data["points"]
    names = [label(one["label"]) for one in points]
    by = sorted(range(len(points)), key=lambda i: -points[i]["value"])
    written = _apart(points, [*(i for i, one in enumerate(points) if one["label"] == "none"), *by[:NAMED]])
    trace = {
        "type": "scatter", "mode": "markers+text", "x": [one["x"] for one in points], "y": [one["y"] for one in points],
        "customdata": names, "text": [names[i] if i in written else "" for i in range(len(points))],
        "textposition": ["top center" if by.index(i) % 2 == 0 else "bottom center" for i in range(len(points))],
        "cliponaxis": False,
        "marker": {"size": [14 if i in written else 10 for i in range(len(points))],
                   "color": [one["value"] for one in points], "coloraxis": "coloraxis", "opacity": 1,
                   "line": {"width": 1, "color": GROUND}},
        "hovertemplate": "<b>%{customdata}</b><br>%{marker.color:.1f}<extra></extra>",
    }  # fmt: skip
    bare = {"showgrid": False, "zeroline": False, "showticklabels": False}
    return {"data": [trace], "layout": {
        "height": 520, "xaxis": bare, "yaxis": {**bare, "scaleanchor": "x"}, "showlegend": False,
        "coloraxis": {"colorscale": "sequential", "colorbar": {"title": {"text": label(data["value"])}}},
        "margin": {"l": 40, "r": 8, "t": 32, "b": 16}, "meta": {"min_width": 340},
    }}  # fmt: skip


def _apart(points: Sequence[Data], wanted: Iterable[int]) -> set[int]:
    """Those of the wanted points whose names would not run into one another's, the first ones first."""
    reach = max((abs(one[axis]) for one in points for axis in ("x", "y")), default=0.0) * 0.4
    found: list[int] = []
    for i in wanted:
        if all(math.hypot(points[i]["x"] - points[j]["x"], points[i]["y"] - points[j]["y"]) > reach for j in found):
            found.append(i)
    return set(found)


def _icicle(data: Data) -> Figure:
    nodes = data["nodes"]
    known = [one["score"] for one in nodes if one["score"] is not None]
    ids = {one["id"]: f"n{i}" for i, one in enumerate(nodes)}
    trace = {
        "type": "icicle", "ids": list(ids.values()), "labels": [label(one["label"]) for one in nodes],
        "parents": ["" if one["parent"] is None else ids[one["parent"]] for one in nodes],
        "values": [one["orders"] for one in nodes], "branchvalues": "total", "sort": False,
        "customdata": [[one["score"], one["seconds"]] for one in nodes], "tiling": {"orientation": "h"},
        "marker": {"colors": [one["score"] for one in nodes], "coloraxis": "coloraxis"},
        "textinfo": "label", "pathbar": {"visible": False},
        "hovertemplate": "<b>%{label}</b><br>%{value} orders<br>mean score %{customdata[0]}<br>"
                         "%{customdata[1]} s<extra></extra>",
    }  # fmt: skip
    return {"data": [trace], "layout": {
        "height": max(320, min(1200, 23 * nodes[0]["orders"])), "uniformtext": {"minsize": 10, "mode": "hide"},
        "margin": {"l": 4, "r": 8, "t": 8, "b": 8},
        "coloraxis": {"colorscale": "sequential", "colorbar": {"title": {"text": "mean score, %"}},
                      **({"cmin": min(known), "cmax": max(known)} if len(set(known)) > 1 else {})},
        "meta": {"min_width": 620},
    }}  # fmt: skip


def _bars(data: Data) -> Figure:
    names = labels(data["labels"])
    trace = {
        "type": "bar", "orientation": "h", "x": data["values"], "y": names, "marker": {"color": FIRST},
        "text": [f"{value:,.0f}" for value in data["values"]], "textposition": "outside", "cliponaxis": False,
        "hovertemplate": "%{y}: <b>%{x:,.1f}</b><extra></extra>",
    }  # fmt: skip
    return {"data": [trace], "layout": {
        "height": 90 + 34 * len(names), "bargap": 0.35,
        "xaxis": {"title": {"text": label(data["x"])}, "rangemode": "tozero"},
        "yaxis": {"type": "category", "categoryorder": "array", "categoryarray": names[::-1], "showgrid": False},
        "margin": {"l": 8, "r": 56, "t": 8, "b": 8}, "meta": {"min_width": 340},
    }}  # fmt: skip


DRAWINGS: dict[str, Callable[[Data], Figure]] = {
    "heat": _heat, "matrix": _matrix, "forest": _forest, "scatter": _scatter, "lines": _lines, "landscape": _landscape,
    "icicle": _icicle, "bars": _bars,
}  # fmt: skip
"""By the kind of a picture."""
