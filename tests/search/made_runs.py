"""Run folders with planted values: any number of orders, roots, languages and perturbations, and nothing is trained.

Score of a cell = level of the target and language + effect of the task set + effect of the order + luck of each prefix
(shared by the orders that begin with it) + luck of the candidate + a little of the cell, in percent points.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from search.candidate import Candidate
from search.files import parquet_bytes, write
from search.order import Order, OrderSpace
from search.roots import SEED_CONTROL
from search.settings import load_settings

TARGETS = {
    "mini-xnli": ["en", "ar", "de", "sw", "zh"],
    "mini-pos": ["en", "ar", "de", "sw", "zh"],
    "mini-tatoeba": ["ar", "de", "sw", "zh"],
}
TASKS = ("mini-nli", "mini-paraphrase", "mini-tags", "mini-topic")
RATE = 7e-4
RETRIEVAL = "mini-tatoeba"
EDITED = ("robust", "robust_attackable", "clean_subset", "clean_attackable", "drop", "flips_down", "flips_up",
          "consistency", "candidates_per_word")  # fmt: skip
ATTACKED = ("robust", "robust_attackable", "clean_subset", "clean_attackable", "drop", "attack_success", "queries",
            "words_changed", "candidates_per_word")  # fmt: skip


def made_run(
    folder: Path,
    *,
    tasks: Sequence[str] = TASKS,
    max_length: int | None = None,
    orders: Sequence[str] | None = None,
    roots: int = 6,
    targets: Mapping[str, Sequence[str]] = TARGETS,
    methods: Sequence[str] = ("full",),
    edits: Sequence[str] = (),
    severities: Sequence[int] = (3,),
    attacks: Sequence[str] = (),
    controls: bool = False,
    seed_control: int = 0,
    forgetting: bool = False,
    items: int = 0,
    set_sd: float = 1.0,
    order_sd: float = 0.0,
    luck_sd: float = 1.0,
    leaf_sd: float = 1.0,
    effects: Mapping[str, float] | None = None,
    language_effects: Mapping[tuple[str, str], float] | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    **manifest: Any,
) -> Path:
    """Write a run folder and return it.

    `orders` are listed in notation, else all ordered subsets of `tasks` up to `max_length`. `effects` are added to an
    order's scores, in points, and `language_effects` to those of (order, language). `items` predictions are written a
    target, language, candidate and root. `manifest` replaces the manifest's keys; `settings` go on top of the suite's.
    """
    rng = np.random.default_rng(seed)
    folder = Path(folder)
    space = [Order.parse(text) for text in orders] if orders else list(OrderSpace(tasks, max_length=max_length))
    shams = [Order(tuple((f"sham-{task}",) for task in tasks[: end + 1])) for end in range(len(tasks))]
    listed = [*space, *(shams if controls else [])]
    candidates = [Candidate(order, method, RATE) for method in methods for order in listed]
    cells = [(target, code) for target, codes in targets.items() for code in codes]
    level = rng.normal(70, 6, len(cells))
    sets = {"+".join(sorted(order.tasks)): rng.normal(0, set_sd) for order in listed}
    means = np.array([
        sets["+".join(sorted(c.order.tasks))] + rng.normal(0, order_sd) + (effects or {}).get(str(c.order), 0.0)
        for c in candidates
    ])  # fmt: skip
    seeds = list(range(roots))
    luck = _luck(rng, candidates, roots, luck_sd) + rng.normal(0, leaf_sd, (roots, len(candidates)))
    scores = level + (means + luck)[:, :, None] + rng.normal(0, 0.3, (roots, len(candidates), len(cells)))
    for place, (_, code) in enumerate(cells):
        for number, candidate in enumerate(candidates):
            scores[:, number, place] += (language_effects or {}).get((str(candidate.order), code), 0.0)
    tables = [_rows(scores, candidates, seeds, cells, "test"), _dev(rng, means + luck, candidates, seeds, targets)]
    for name in edits:
        for severity in severities:
            tables.append(_edited(rng, scores, candidates, seeds, cells, name, severity, EDITED))
    tables += [_edited(rng, scores, candidates, seeds, cells, f"attack:{name}", 0, ATTACKED) for name in attacks]
    if seed_control:
        one = [next(c for c in candidates if len(c.order) == max(map(len, space)))]
        more = [SEED_CONTROL + i for i in range(seed_control)]
        values = level + means[candidates.index(one[0])] + rng.normal(0, 1.4, (seed_control, 1, 1))
        values = values + rng.normal(0, 0.3, (seed_control, 1, len(cells)))
        tables += [_rows(values, one, more, cells, "test"), _dev(rng, values.mean(2) - 70, one, more, targets)]
    if forgetting:
        tables.append(_forgetting(rng, candidates, seeds))
    table = pd.concat(tables, ignore_index=True)
    _write(folder, table, candidates, targets, roots, methods, controls, seed_control, edits, severities, attacks,
           orders, max_length, tasks, settings or {}, manifest)  # fmt: skip
    if items:
        _predictions(rng, folder, scores, candidates, seeds, cells, items)
    return folder


def _luck(rng: np.random.Generator, candidates: Sequence[Candidate], roots: int, sd: float) -> np.ndarray:
    """Roots × candidates: the sum of the luck of each candidate's prefixes, one SD in all for the longest."""
    nodes: dict[tuple[str, str], np.ndarray] = {}
    longest = max((len(c.order) for c in candidates), default=1) or 1
    found = np.zeros((roots, len(candidates)))
    for place, candidate in enumerate(candidates):
        for prefix in candidate.order.prefixes():
            key = candidate.method, str(prefix)
            if key not in nodes:
                nodes[key] = rng.normal(0, sd / np.sqrt(longest), roots)
            found[:, place] += nodes[key]
    return found


def _rows(
    values: np.ndarray, candidates: Sequence[Candidate], seeds: Sequence[int], cells: Sequence[tuple[str, str]],
    portion: str,
) -> pd.DataFrame:  # fmt: skip
    """Main rows from percent values of roots × candidates × cells."""
    r, c, k = values.shape
    about = {
        "candidate": [one.name for one in candidates], "order": [str(one.order) for one in candidates],
        "method": [one.method for one in candidates], "learning_rate": [one.learning_rate for one in candidates],
    }  # fmt: skip
    share = np.clip(values / 100, 0.0, 1.0)
    frame = {name: np.tile(np.repeat(np.array(column, dtype=object), k), r) for name, column in about.items()}
    frame["learning_rate"] = frame["learning_rate"].astype(float)
    return pd.DataFrame({
        **frame, "seed": np.repeat(seeds, c * k), "target": np.tile([t for t, _ in cells], r * c),
        "language": np.tile([code for _, code in cells], r * c), "portion": portion, "perturbation": "none",
        "severity": 0, "metric": "accuracy", "main": True, "value": share.ravel(), "n": 200,
        "stderr": np.sqrt(share * (1 - share) / 200).ravel(), "attackability": np.nan, "queries": np.nan,
        "apart": False, "prompt_length": pd.array([None] * (r * c * k), dtype="Int64"), "budget": 1.0, "stage": "",
    })  # fmt: skip


def _dev(
    rng: np.random.Generator, points: np.ndarray, candidates: Sequence[Candidate], seeds: Sequence[int],
    targets: Mapping[str, Sequence[str]],
) -> pd.DataFrame:  # fmt: skip
    """English dev of the targets that have one, alike to the test scores but for noise."""
    cells = [(target, "en") for target in targets if target != RETRIEVAL]
    values = 80 + points[:, :, None] + rng.normal(0, 0.5, (*points.shape, len(cells)))
    return _rows(values, candidates, seeds, cells, "dev")


def _edited(
    rng: np.random.Generator, scores: np.ndarray, candidates: Sequence[Candidate], seeds: Sequence[int],
    cells: Sequence[tuple[str, str]], name: str, severity: int, metrics: Sequence[str],
) -> pd.DataFrame:  # fmt: skip
    """Rows of one edit at one severity, or of an attack: the more severe, the less is left."""
    fall = (4.0 * severity if severity else 30.0) + rng.normal(0, 1.0, scores.shape)
    attackable = 0.3 if cells and name == "deletion" else 0.95
    plain = _rows(scores - fall, candidates, seeds, cells, "test")
    plain = plain.assign(perturbation=name, severity=severity, n=50, attackability=attackable,
                         queries=25.0 if name.startswith("attack:") else np.nan)  # fmt: skip
    lost = fall.ravel() / 100
    values = {
        "robust": plain.value - 0.02, "robust_attackable": plain.value - 0.03, "clean_subset": plain.value + lost,
        "clean_attackable": plain.value + lost, "drop": lost, "flips_down": 0.1, "flips_up": 0.02, "consistency": 0.85,
        "candidates_per_word": 12.0, "attack_success": 0.6, "queries": 25.0, "words_changed": 0.1,
    }  # fmt: skip
    more = [plain.assign(metric=metric, main=False, value=values[metric]) for metric in metrics]
    return pd.concat([plain, *more], ignore_index=True)


def _forgetting(rng: np.random.Generator, candidates: Sequence[Candidate], seeds: Sequence[int]) -> pd.DataFrame:
    """English dev of each task of an order after each of its stages: three points are lost with every stage since."""
    tables = []
    for candidate in candidates:
        for done, prefix in enumerate(candidate.order.prefixes()):
            for since, group in enumerate(reversed(candidate.order.groups[: done + 1])):
                for task in group:
                    values = 80 - 3.0 * since + rng.normal(0, 1.0, (len(seeds), 1, 1))
                    rows = _rows(values, [candidate], seeds, [(task, "en")], "forgetting")
                    tables.append(rows.assign(stage=str(prefix)))
    return pd.concat(tables, ignore_index=True)


def _predictions(
    rng: np.random.Generator, folder: Path, scores: np.ndarray, candidates: Sequence[Candidate], seeds: Sequence[int],
    cells: Sequence[tuple[str, str]], items: int,
) -> None:  # fmt: skip
    """Right or wrong, a row an item; three items make a cluster; an item is as hard for all candidates."""
    hard = rng.random(items)
    for target in {target for target, _ in cells}:
        parts = []
        for place, (own, code) in enumerate(cells):
            if own != target:
                continue
            for root, seed in enumerate(seeds):
                for number, candidate in enumerate(candidates):
                    right = (hard + rng.normal(0, 0.1, items)) < scores[root, number, place] / 100
                    parts.append(pd.DataFrame({
                        "portion": "test", "language": code, "id": [f"test-{i}" for i in range(items)],
                        "score": right.astype(float), "candidate": candidate.name, "seed": seed, "target": target,
                        "perturbation": "none", "severity": 0, "cluster": [f"c{i // 3}" for i in range(items)],
                    }))  # fmt: skip
        write(folder / "predictions" / f"{target}.parquet", parquet_bytes(pd.concat(parts, ignore_index=True)))


def _write(
    folder: Path, table: pd.DataFrame, candidates: Sequence[Candidate], targets: Mapping[str, Sequence[str]],
    roots: int, methods: Sequence[str], controls: bool, seed_control: int, edits: Sequence[str],
    severities: Sequence[int], attacks: Sequence[str], orders: Sequence[str] | None, max_length: int | None,
    tasks: Sequence[str], settings: Mapping[str, Any], manifest: Mapping[str, Any],
) -> None:  # fmt: skip
    kind = {"kind": "explicit", "explicit": list(orders)} if orders else {"kind": "subsets", "max_length": max_length}
    chosen, _ = load_settings(
        {"seeds": roots},
        {"intermediate": list(tasks), "targets": list(targets), "method": list(methods), "controls": controls,
         "orders": kind, "perturbations": ["standard"] if edits or attacks else [], **settings},
    )  # fmt: skip
    fields = chosen.model_dump(mode="json", exclude={"space"})
    if seed_control and "seed_control" in fields:
        fields["seed_control"] = seed_control
    write(folder / "config.yaml", yaml.safe_dump(fields, sort_keys=False, allow_unicode=True))
    cost = {one.name: len(one.order) + 2 for one in candidates}
    dev = table[(table.portion == "dev") & (table.perturbation == "none") & (table.seed < roots)]
    values = dev.groupby("candidate").value.mean()
    about = pd.DataFrame({
        "candidate": [one.name for one in candidates], "order": [str(one.order) for one in candidates],
        "method": [one.method for one in candidates], "learning_rate": RATE, "prompt_length": None, "budget": 1.0,
        "seeds": roots, "objective": chosen.objective, "value": [values.get(one.name) for one in candidates],
        "pruned": False, "failed": None, "stage_cost": [cost[one.name] for one in candidates],
        "price": [2.0 * cost[one.name] for one in candidates], "own_training_set": "", "difficulty": "",
    })  # fmt: skip
    prefixes = sorted({str(prefix) for one in candidates for prefix in one.order.prefixes()})
    planned = [(method, prefix, seed) for method in methods for prefix in prefixes for seed in range(roots)]
    keys = {stage: f"{i:032x}" for i, stage in enumerate(planned)}
    stages = pd.DataFrame([
        {"key": key, "label": f"{prefix} #{seed}", "kind": "train", "tasks": prefix.split(">")[-1],
         "parent": keys.get((method, prefix.rpartition(">")[0], seed)), "method": method, "steps": 80, "seed": seed,
         "executed": True, "seconds": 2.0, "worker": "w", "parent_from": "memory"}
        for (method, prefix, seed), key in keys.items()
    ])  # fmt: skip
    cells = [*edits, *(f"attack:{name}" for name in attacks)]
    suite = {"name": "standard", "edits": list(edits), "severities": list(severities),
             "attacks": [{"recipe": name, "queries": 40} for name in attacks]}  # fmt: skip
    content = {
        "schema": 2, "status": "done", "space": "orders", "title": f"Task orders on {chosen.suite}",
        "notes": ["score: mean over targets of the mean over languages, in percent"],
        "started": "2026-01-01T00:00:00+0000",
        "command": "order-search run --space orders", "commit": "0" * 12, "versions": {"python": "3.11.7"},
        "model": {"name": chosen.model, "fingerprint": "0123456789abcdef"}, "seeds": list(range(roots)),
        "objective": chosen.objective, "oracle_selection": chosen.objective == "target-dev",
        "data": {f"score {name}": f"data of {name}" for name in targets},
        "grid": {name: list(codes) for name, codes in targets.items()},
        "perturbed": {"standard": {n: dict.fromkeys(codes, cells) for n, codes in targets.items()}} if cells else {},
        "suites": {"standard": suite} if cells else {}, "apart": {}, "partial": {},
        "tasks": {name: {"name": name} for name in (*tasks, *targets)}, "skipped_rows": {"count": 0, "rows": []},
        "limited": None, "candidates": len(candidates), "finals": "", "failed": {}, "fresh_roots": [], "pruned": [],
        "cost": {"stages_naive": sum(cost.values()) * roots, "stages_distinct": len(stages),
                 "stages_executed": len(stages), "stages_reused": 0, "seconds": 60.0}, **manifest,
    }  # fmt: skip
    write(folder / "manifest.json", json.dumps(content, indent=1, ensure_ascii=False))
    for name, rows in (("scores", table), ("candidates", about), ("stages", stages)):
        write(folder / f"{name}.parquet", parquet_bytes(rows))
