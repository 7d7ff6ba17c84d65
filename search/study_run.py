"""One study from flags to leaderboard: plan, run what the store lacks, write the run folder, print the result."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from search.settings import check_out, load_settings, parse_overrides
from search.study import Study
from trainables.store import Store


def run_study(flags: Mapping[str, Any], command: Sequence[str], console: Console) -> int:
    """Run the study that the flags ask for; the exit code. All mistakes are told before anything is written."""
    given = {key: value for key, value in flags.items() if key not in ("set", "dry_run", "debug")}
    settings, places = load_settings(given, parse_overrides(flags["set"]))
    study = Study(settings, places)
    study.check()
    store = Store(settings.store_url)
    if flags["dry_run"]:
        from search.dry_run import print_plan

        print_plan(study, store, console)
        return 0
    check_out(settings, places.get("out", "--out"))
    store.writable()
    return _run(study, store, command, console)


def _run(study: Study, store: Store, command: Sequence[str], console: Console) -> int:
    from search.planner import Planner
    from search.progress import View
    from search.run_folder import RunFolder, describe, print_board
    from search.tensorboard import Writer

    start = time.monotonic()
    folder = RunFolder(study, command)
    facts: dict[str, Any] = {"slots": 0, "worker_starts": 0}
    view, writer = View(console), Writer(folder.path / "tensorboard")

    def listener(event: str, about: Mapping[str, Any]) -> None:
        view.hear(event, about)
        writer.hear(event, about)

    try:
        with view:
            planner = Planner(study, store, listener)
            total = planner.tree.distinct
            console.print(
                f"{len(planner.candidates)} candidates × {study.settings.seeds} roots: {planner.tree.naive} stages "
                f"alone, {total} shared, {total - planner.tree.remaining} of them not needed or in the store"
            )
            if not planner.finished:
                console.print("starting Ray …")
                from search.runner import run

                facts = run(study, planner, view)
    except BaseException:
        folder.manifest("failed", {}, {})
        raise
    finally:
        writer.close()
    finished = planner.finished
    more = {**facts, "candidates": len(planner.candidates), "failed": planner.failed}
    board = folder.tables(planner)
    folder.manifest("done" if finished else "stopped", planner.cost_summary(), more)
    console.print()
    if len(board):
        print_board(board, describe(study), console)
    cost = planner.cost_summary()
    console.print(
        f"\n{cost['stages_executed']} stages run, {cost['stages_reused']} reused, "
        f"{cost['stages_naive']} without sharing; {time.monotonic() - start:.0f} s"
    )
    path = escape(str(folder.path))
    console.print(f"\n[bold]{path}/[/] leaderboard.(csv|md|json) scores.(parquet|csv) manifest.json config.yaml …")
    console.print(
        f"next:  order-search show {path}\n       order-search run --space {path}/config.yaml   repeats this run"
    )
    for name, reason in planner.failed.items():
        console.print(f"[red]failed[/] {escape(name)}: {escape(reason)}")
    return 0 if finished and not planner.failed else 1
