"""Does more damage follow from more edits? Read from a finished run of a study with `--perturbations severity`.

    python search/run.py --space orders --perturbations severity --out runs
    python -m benchmarks.severity RUN [--attacks RUN] [--dry]

1. The edit rate by severity, of the texts that the study edited: made again from the run's settings.
2. Accuracy by severity, averaged over the languages of a family, then over families, over all models of the run. A
   language counts for an edit where at least half of its examples are attackable and its clean figure is 10 points
   above chance (the largest class of a tagged test set, 1/labels, 1/candidates). The test is one-sided and paired: the
   slope over severities of each item, which is a cluster of its translations, mean against 0 by t, the models given;
   Holm over all tested edits of all targets. Edits without such a language stand apart, untested.
3. With `--attacks`, of a run of attacks and of a suite of single severity whose share of words is the attacks': what
   attacks leave, beside each of their edits in the suite, on the same examples and models.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t

from benchmarks.results import record
from perturb.edits.base import SHARES, Replacement
from perturb.measure import ATTACKABLE
from perturb.recipes import RECIPES
from perturb.suite import Changes, Item, prepare
from search.settings import load_settings
from search.study import Study
from trainables.edited import applies, item_of, vocabulary
from trainables.examples import Example
from trainables.languages import family
from trainables.perturbations import ATTACK
from trainables.perturbed import choose
from trainables.tasks import Task

ABOVE_CHANCE, ALPHA = 0.1, 0.05

ITEM = ["language", "id"]


class Mean(NamedTuple):
    """A mean over families of languages, its standard error over clusters of parallel items, and their number."""

    value: float
    error: float
    clusters: int

    @property
    def below_zero(self) -> float:
        """The one-sided p value of a mean that is not below 0."""
        if not self.error or self.clusters < 2:
            return float(self.value >= 0)
        return float(t.cdf(self.value / self.error, self.clusters - 1))

    @property
    def interval(self) -> tuple[float, float]:
        """Its two-sided 95 % interval."""
        half = float(t.ppf(0.975, self.clusters - 1)) * self.error if self.clusters > 1 else math.inf
        return self.value - half, self.value + half


class Trend(NamedTuple):
    """An edit of a target: mean figures by severity, and their slope, in points a severity."""

    target: str
    edit: str
    languages: int
    figures: list[float]
    slope: Mean


def main(arguments: list[str]) -> None:
    """Print and record the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with a suite of several severities")
    parser.add_argument("--attacks", type=Path, help="folder of a run with attacks and a suite of their edit budget")
    parser.add_argument("--dry", action="store_true", help="only print")
    options = parser.parse_args(arguments)
    study = study_of(options.run)
    lines = [*rate_table(rates(study)), "", *trend_tables(*trends(study, items_of(options.run, study)))]
    if options.attacks:
        other = study_of(options.attacks)
        lines += ["", *attack_table(other, items_of(options.attacks, other))]
    if options.dry:
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        flag = " --attacks RUN" if options.attacks else ""
        record("severity", lines, f"python -m benchmarks.severity RUN{flag}")


def study_of(run: Path) -> Study:
    """The study of a run, from its settings."""
    return Study(*load_settings({"space": str(run / "config.yaml")}))


def items_of(run: Path, study: Study) -> pd.DataFrame:
    """The run's figures of edited test items: one row a model, target, language, item, perturbation and severity."""
    parts = [pd.read_parquet(run / "predictions" / f"{target.name}.parquet") for target in study.targets]
    found = pd.concat(parts, ignore_index=True)
    apart = {(name, code) for name, codes in study.apart.items() for code in codes}
    own = np.array([pair not in apart for pair in zip(found.target, found.language, strict=True)], dtype=bool)
    return found[(found.portion == "test") & (found.perturbation != "none") & own]


# How much is edited


def rates(study: Study) -> pd.DataFrame:
    """Replacements, words, changed and all characters of the edited texts, by target, language, edit and severity."""
    rows: list[dict[str, Any]] = []
    for name, suite in study.suites.items():
        for task in study.targets if len(suite.severities) > 1 else []:
            test = study.data.load(task, "test", study.grid[task.name])
            lookup = study.lookups[name]
            edits = lookup.made(lookup.of(task, [example for own in test.values() for example in own]))
            for language, examples in test.items():
                chosen = choose(task, examples, suite.examples, suite.seed)
                attested = vocabulary(task, examples)
                items = [item_of(task, examples[place], suite.fields, attested) for place in chosen]
                mine = [edit for edit in edits if applies(edit, task, language)]
                made = prepare(mine, items, suite.severities, suite.seed).changes
                about = {"target": task.name, "language": language}
                for (edit, severity), changes in made.items():
                    rows.append({**about, "edit": edit, "severity": severity, **_counts(items, changes)})
    return pd.DataFrame(rows, columns=["target", "language", "edit", "severity", "edits", "words", "changed", "length"])


def _counts(items: Sequence[Item], changes: Sequence[Changes]) -> dict[str, int]:
    texts = [text for item in items for text in item.texts.values()]
    made = [
        (item.texts[field].text, replacement)
        for item, fields in zip(items, changes, strict=True)
        for field, replacements in fields.items()
        for replacement in replacements
    ]
    return {
        "edits": len(made), "words": sum(len(text.words) for text in texts),
        "changed": sum(changed_characters(text, replacement) for text, replacement in made),
        "length": sum(len(text.text) for text in texts),
    }  # fmt: skip


def changed_characters(text: str, replacement: Replacement) -> int:
    """Levenshtein's distance between what stood there and what does."""
    return distance(text[replacement.start : replacement.end], replacement.text)


@lru_cache(maxsize=1 << 16)
def distance(one: str, other: str) -> int:
    """Levenshtein's distance, in characters."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(row[-1] + 1, before[j] + 1, before[j - 1] + (a != b)))
    return row[-1]


def rate_table(found: pd.DataFrame) -> Iterator[str]:
    """Edits a 100 words and changed characters a 100, by edit and severity; whether both rise strictly."""
    severities = sorted(found.severity.unique())
    yield "Edit rate: edits a 100 words (changed characters a 100) by severity"
    yield ""
    names = (f"severity {severity}" for severity in severities)
    yield from _header(["edit", *names, "rises strictly", "target × language that do"])
    sums = found.groupby(["edit", "severity"], sort=False)[["edits", "words", "changed", "length"]].sum()
    for edit, own in sums.groupby(level="edit", sort=False):
        edits, characters = (100 * own.edits / own.words).to_list(), (100 * own.changed / own.length).to_list()
        cells = found[(found.edit == edit)].groupby(["target", "language"])
        any_ = [one for _, one in cells if one.edits.any()]
        rising = sum(rises(one.edits.to_list()) and rises(one.changed.to_list()) for one in any_)
        shown = [f"{a:.1f} ({b:.1f})" for a, b in zip(edits, characters, strict=True)]
        yield _row([edit, *shown, "yes" if rises(edits) and rises(characters) else "NO", f"{rising} of {len(any_)}"])


def rises(values: Sequence[float]) -> bool:
    """Whether each value is greater than the one before it."""
    return all(a < b for a, b in pairwise(values))


# What is left


def trends(study: Study, items: pd.DataFrame) -> tuple[list[Trend], list[Trend]]:
    """The edits that are tested, over the languages that count for them; and the others, over all theirs."""
    tested, others = [], []
    suites = items[~items.perturbation.str.startswith(ATTACK)]
    tasks = {task.name: task for task in study.targets}
    for (target, edit), own in suites.groupby(["target", "perturbation"], sort=False):
        test = study.data.load(tasks[target], "test", study.grid[target])
        counted = [
            str(language)
            for language, rows in own.groupby("language", sort=False)
            if rows.attackable.astype(float).mean() >= ATTACKABLE
            and rows.clean.mean() >= chance(tasks[target], test[str(language)]) + ABOVE_CHANCE
        ]
        found = trend(str(target), str(edit), own[own.language.isin(counted)] if counted else own)
        (tested if counted else others).append(found)
    return tested, others


def trend(target: str, edit: str, rows: pd.DataFrame) -> Trend:
    """The figures by severity and their slope, from rows of `language`, `id`, `severity` and `score`."""
    table = rows.groupby([*ITEM, "severity"]).score.mean().unstack("severity")
    at = np.array(table.columns, dtype=float) - np.mean(table.columns)
    slopes = pd.Series(table.to_numpy() @ at / (at @ at), index=table.index)
    figures = [over_families(table[severity]).value for severity in table.columns]
    return Trend(target, edit, rows.language.nunique(), figures, over_families(slopes))


def over_families(values: pd.Series) -> Mean:
    """The mean of values by (language, id): over items, languages of a family, families. An id is a cluster: the same
    item in every language. The error is conditional on the languages."""
    languages = values.groupby(level="language")
    groups = {str(code): family(str(code)) for code in languages.groups}
    size = Counter(groups.values())
    weights = pd.Series({code: 1 / (len(size) * size[group]) for code, group in groups.items()})
    means = languages.mean()
    codes = values.index.get_level_values("language")
    scale = (weights / languages.size()).loc[codes].to_numpy()
    rest = pd.Series((values.to_numpy() - means.loc[codes].to_numpy()) * scale, index=values.index)
    sums = rest.groupby(level="id").sum()
    count = len(sums)
    error = math.sqrt(count / (count - 1) * float((sums**2).sum())) if count > 1 else math.inf
    return Mean(float((weights * means).sum()), error, count)


def chance(task: Task, examples: Sequence[Example]) -> float:
    """What a guess gets: one of the labels, the most frequent tag of all, one of the sentences; of answers nothing."""
    match task.kind:
        case "classification":
            return 1 / len(task.labels)
        case "tagging":
            tags = Counter(tag for example in examples for tag in example.tags)
            return max(tags.values()) / sum(tags.values())
        case "retrieval":
            return 1 / len(examples)
        case "choice":
            return sum(1 / len(example.choices) for example in examples) / len(examples)
        case _:
            return 0.0


def holm(values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (1979), in the order given."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    found, least = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(values) - rank) * values[place]))
        found[place] = least
    return found


def trend_tables(tested: Sequence[Trend], others: Sequence[Trend]) -> Iterator[str]:
    """The edits that are tested, those that fail, and the others."""
    adjusted = holm([one.slope.below_zero for one in tested])
    failing = [f"{one.edit} ({one.target})" for one, p in zip(tested, adjusted, strict=True) if p >= ALPHA]
    yield "Accuracy over families by severity, in percent; slope in points a severity, one-sided p, Holm's p"
    yield ""
    count = max((len(one.figures) for one in [*tested, *others]), default=0)
    names = ["target", "edit", "languages", *map(str, range(1, count + 1)), "slope", "p", "Holm", "falls"]
    yield from _header(names)
    for one, p in zip(tested, adjusted, strict=True):
        yield _row([*_shown(one), f"{one.slope.below_zero:.1e}", f"{p:.1e}", "yes" if p < ALPHA else "NO"])
    for one in others:
        yield _row([*_shown(one), "", "", "not tested"])
    yield ""
    yield f"{len(tested)} tested, {len(tested) - len(failing)} fall; not shown to fall: {', '.join(failing) or 'none'}"


def _shown(one: Trend) -> list[str]:
    low, high = one.slope.interval
    figures = [f"{100 * figure:.1f}" for figure in one.figures]
    slope = f"{100 * one.slope.value:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
    return [one.target, one.edit, str(one.languages), *figures, slope]


# Attacks


def attack_table(study: Study, items: pd.DataFrame) -> Iterator[str]:
    """What attacks leave beside their own edits in the suite of their budget."""
    yield "Attacks beside the suite at the same share of words, in percent, on the same examples and models"
    yield ""
    yield from _header(
        ["target", "attack", "words changed", "clean", "attacked", "edit", "under suite", "suite less attack (95 %)"]
    )
    for name, share in {a.recipe: a.words for suite in study.suites.values() for a in suite.attacks}.items():
        if share not in SHARES:
            continue
        found = items[items.perturbation == f"{ATTACK}{name}"]
        beside = items[items.perturbation.isin(RECIPES[name].edits) & (items.severity == SHARES.index(share) + 1)]
        for (target, edit), own in beside.groupby(["target", "perturbation"], sort=False):
            keys = ["candidate", "seed", *ITEM]
            attacked = found[found.target == target].set_index(keys)
            after = attacked[["score", "clean", "changed"]].rename(columns={"score": "score_attacked"})
            both = own.set_index(keys)[["score"]].join(after)
            both = both.dropna(subset="score_attacked").groupby(ITEM).mean()
            if both.empty:
                continue
            gap = over_families(both.score - both.score_attacked)
            low, high = gap.interval
            figures = [f"{100 * over_families(both[column]).value:.1f}" for column in ("clean", "score_attacked")]
            under = f"{100 * over_families(both.score).value:.1f}"
            words = f"{100 * attacked.changed[attacked.score < attacked.clean].mean():.0f} % of those it broke"
            shown = f"{100 * gap.value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
            yield _row([target, name, words, *figures, edit, under, shown])


def _header(names: Sequence[str]) -> list[str]:
    return [_row(names), _row(["---"] * len(names))]


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main(sys.argv[1:])
