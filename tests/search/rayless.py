"""Studies without Ray, to hold runs on Ray against: stage after stage, in this process, on one bench."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from search.cli import run_parser
from search.planner import Planner
from search.run_folder import RunFolder
from search.settings import load_settings, parse_overrides
from search.study import Study
from trainables.bench import Bench, Workplace
from trainables.store import Store


def played(study: Study) -> Planner:
    """The planner of a study whose stages were all run on one bench."""
    study.check()
    planner = Planner(study, Store(study.settings.store_url))
    bench = Bench(Workplace(**json.loads(study.workplace())))
    while not planner.finished:
        for stage in planner.take():
            planner.report(asdict(bench.run(stage)))
    return planner


def rayless(words: Sequence[str], out: Path) -> Path:
    """The run folder, under `out`, of the study that these words of the command `run` ask for."""
    flags = vars(run_parser().parse_args([*words, "--out", str(out)]))
    given = {key: value for key, value in flags.items() if key not in ("set", "dry_run", "debug")}
    study = Study(*load_settings(given, parse_overrides(flags["set"])))
    planner = played(study)
    assert not planner.failed
    folder = RunFolder(study, ["order-search", "run", *words])
    folder.finish(planner, {})
    return folder.path
