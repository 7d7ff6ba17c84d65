"""Published figures beside a study's own, where it repeats the setting that they are of (`configs/published.yaml`).

The same setting is: the preset's name, the model's id, the method and the order, every value that the preset sets (but
a prompt's length, which an entry names itself), all languages of the target and the whole data. Where one differs,
nothing is shown: a figure beside another setting's reads as a comparison that it is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from search.analysis.finding import Finding
from search.analysis.intervals import over_roots
from search.analysis.overall import by_target, overall
from search.means import snake
from search.order import EMPTY
from search.results import Results
from search.settings import Settings, load_settings
from trainables.config import Config, build, configs_dir, names, read_yaml
from trainables.errors import Mistake

ALL = "all"
"""The target of a figure that is the mean of XTREME's nine."""

XTREME = frozenset({"xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc", "tatoeba"})

SPAN = ("f1", "exact_match")
"""What the score of span extraction is the mean of."""


class Figure(Config):
    """One published figure, in percent (a gain in points), and what the paper puts behind its ±."""

    target: str
    metric: Literal["accuracy", "f1", "exact_match", "gain"]
    value: float
    plus_minus: float | None = Field(None, gt=0)


class Entry(Config):
    """The figures of one setting of a paper."""

    source: str
    preset: str
    model: str
    method: str
    order: str = EMPTY
    prompt_length: int | None = None
    figures: list[Figure]


class Published(Config):
    """The file."""

    published: list[Entry]


@cache
def entries() -> tuple[Entry, ...]:
    """All that is in `configs/published.yaml`. Raises Mistake for a file that is not as it should be."""
    path = configs_dir() / "published.yaml"
    return tuple(build(Published, read_yaml(path), str(path)).published)


def published_columns(results: Results) -> pd.DataFrame:
    """The published figures by candidate (index); no rows where the study repeats no published setting.

    `published` is text for people (`xnli 78.8 ± 0.2 (arXiv 2210.12360)`), `published_TARGET` the figure in percent that
    compares with the study's score on that target: of span extraction the mean of F1 and exact match.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, entry, target, figures in _matched(results):
        row = rows.setdefault(name, {"published": []})
        row["published"].append(f"{target} {_shown(figures)} ({entry.source})")
        row[f"published_{snake(target)}"] = _value(figures)
    for row in rows.values():
        row["published"] = "; ".join(row["published"])
    found = pd.DataFrame.from_dict(rows, orient="index")
    return found.rename_axis("candidate") if len(found) else pd.DataFrame(columns=["published"])


def published(results: Results) -> Finding:
    """The study's own figures less the published ones, in points.

    Table: candidate, target, source, `published`, `plus_minus` (as the paper has it), `own` (mean over roots), n
    (roots), `estimate` (own − published), low, high (of the study's roots alone), reason.
    """
    title, rows = "Against published figures", []
    own = {**by_target(results.own, results.portion), ALL: overall(results.own, results.portion)}
    for name, entry, target, figures in _matched(results):
        values = _own(own[target], name, figures, results)
        found, value = over_roots(values), _value(figures)
        mean = math.nan if found.mean is None else found.mean
        half = math.nan if found.half_width is None else found.half_width
        rows.append({
            "candidate": name, "target": target, "source": entry.source, "published": value,
            "plus_minus": figures[0].plus_minus if len(figures) == 1 else None, "own": mean, "n": found.n,
            "estimate": mean - value, "low": mean - half - value, "high": mean + half - value, "reason": found.reason,
        })  # fmt: skip
    if not rows:
        why = "no published setting has this study's preset, model, method and order"
        return Finding("published", title, pd.DataFrame(), f"Nothing to compare with: {why}.")
    table = pd.DataFrame(rows)
    told = "; ".join(
        f"{row.target} {row.own:.1f} ({row.published:.1f} in {row.source}, {row.estimate:+.1f})"
        for row in table.itertuples()
    )
    notes = (
        "The interval is of this study's roots alone; what the paper's ± is, the paper says.",
        "Presets differ from the papers in what stands on top of their files.",
    )
    return Finding("published", title, table, f"Own figures beside published ones: {told}.", notes=notes)


def _matched(results: Results) -> Iterator[tuple[str, Entry, str, list[Figure]]]:
    """Candidate, entry, target and its figures, where the study repeats the entry's setting."""
    settings = results.settings
    if results.differences or not repeats_preset(settings) or results.manifest.get("limited"):
        return
    about = results.candidates[(results.candidates.budget == 1)].drop_duplicates("candidate")
    for entry in entries():
        if (entry.preset, entry.model) != (settings.preset, settings.model):
            continue
        same = (about.method == entry.method) & (about.order == entry.order)
        if entry.prompt_length is not None:
            same &= about.prompt_length == entry.prompt_length
        targets = dict.fromkeys(figure.target for figure in entry.figures)
        for name in about.candidate[same]:
            for target in targets:
                if _whole(results, target):
                    yield str(name), entry, target, [one for one in entry.figures if one.target == target]


def _whole(results: Results, target: str) -> bool:
    """Whether the study scores a target in all of its languages on all of its test items."""
    if results.settings.languages or results.portion != "test":
        return False
    grid, partial = results.manifest["grid"], results.manifest["partial"]
    wanted = XTREME if target == ALL else {target}
    return (set(grid) == wanted or target != ALL) and wanted <= set(grid) and not wanted & set(partial)


def repeats_preset(settings: Settings) -> bool:
    """Whether a study has a shipped preset and every value that it sets, but a prompt's length."""
    if settings.preset not in names("presets"):
        return False
    preset = read_yaml(configs_dir() / "presets" / f"{settings.preset}.yaml")
    try:
        as_shipped, _ = load_settings({"preset": settings.preset})
    except Mistake:
        return False
    own, shipped = settings.model_dump(mode="json"), as_shipped.model_dump(mode="json")
    return all(_same(own[key], shipped[key], preset[key]) for key in preset if key != "prompt_length")


def _same(own: Any, shipped: Any, named: Any) -> bool:
    """Whether two settings agree in what the preset names."""
    if isinstance(named, Mapping) and isinstance(own, Mapping) and isinstance(shipped, Mapping):
        return all(key in own and _same(own[key], shipped[key], named[key]) for key in named)
    return bool(own == shipped)


def _own(values: pd.DataFrame, name: str, figures: list[Figure], results: Results) -> list[float]:
    """The candidate's values by root; of a gain those over the empty order of the same settings."""
    if name not in values.index:
        return []
    if figures[0].metric != "gain":
        return [float(value) for value in values.loc[name]]
    order = str(results.candidates.set_index("candidate").order[name])
    empty = name.replace(f"{order} ", f"{EMPTY} ", 1)
    return [float(value) for value in values.loc[name] - values.loc[empty]] if empty in values.index else []


def _value(figures: list[Figure]) -> float:
    return sum(figure.value for figure in figures) / len(figures)


def _shown(figures: list[Figure]) -> str:
    one = figures[0]
    if len(figures) == len(SPAN):
        return "F1/EM " + "/".join(f"{figure.value:.1f}" for figure in figures)
    sign = "+" if one.metric == "gain" else ""
    return f"{one.value:{sign}.1f}" + (f" ± {one.plus_minus:.1f}" if one.plus_minus else "")
