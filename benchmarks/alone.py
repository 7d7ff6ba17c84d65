"""What benchmarks share: targets trained alone in English on one bench, through a study's own plan of stages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from search.candidate import Arm, Candidate
from search.order import Order
from search.settings import load_settings
from search.study import Study
from trainables.bench import Bench, Workplace

Scores = dict[str, float]


def study_of(targets: Sequence[str], store: Path, **settings: Any) -> Study:
    """A study of the suite mini-full's targets at its budget, with other settings laid over."""
    flags = {"suite": "mini-full", "targets": ",".join(targets), "store": str(store)}
    return Study(*load_settings(flags, settings))


def bench_of(study: Study) -> Bench:
    """A bench for the study on one thread."""
    torch.set_num_threads(1)
    return Bench(Workplace(**json.loads(study.workplace())))


def scores_of(bench: Bench, study: Study, arm: Arm, target: str, seed: int) -> Scores:
    """The main metric by language, and of English dev as `dev`, of a target alone (the empty order)."""
    candidate = Candidate(Order(()), *arm)
    score = study.score_stage(candidate, seed, target)
    for stage in study.stages(candidate, seed):
        if stage.key in (score.parent, score.key):
            bench.run(stage)
    rows = [row for row in (bench.store.record(score.key) or {})["scores"] if row["main"]]
    return {
        "dev" if r["portion"] == "dev" else r["language"]: r["value"] for r in rows if r["portion"] in ("dev", "test")
    }


def others(scores: Scores) -> float:
    """The mean over the languages but English."""
    return mean(value for name, value in scores.items() if name not in ("dev", "en"))
