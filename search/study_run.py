"""One study from flags to leaderboard: plan, run what the store lacks, write the run folder, print the result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from search.settings import check_out, load_settings, parse_overrides
from search.stopping import Stopping
from search.study import Study
from search.trackers import Tracking, tracking
from trainables.redaction import redacted
from trainables.store import Store, StoreTrouble

if TYPE_CHECKING:
    from search.cluster import Joined
    from search.planner import Planner
    from search.run_folder import RunFolder


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
    tracker = tracking(settings, places.get("tracker", "--tracker"))
    check_out(settings, places.get("out", "--out"))
    store.writable()
    return _run(study, store, tracker, command, console)


def _run(study: Study, store: Store, tracker: Tracking | None, command: Sequence[str], console: Console) -> int:
    from search.metrics import Metrics
    from search.planner import Planner
    from search.progress import View
    from search.recorder import Recorder
    from search.run_folder import RunFolder
    from search.tensorboard import Writer

    started, view, writer, metrics = time.time(), View(console), Writer(), Metrics()
    recorder = Recorder(study.settings, study.space)
    hearing = [view.hear, writer.hear, recorder.hear, metrics.hear, *([tracker.hear] if tracker else [])]

    def listener(event: str, about: Mapping[str, Any]) -> None:
        for hear in hearing:
            hear(event, about)

    def tick() -> None:
        view.tick()
        metrics.tick()

    planner = Planner(study, store, listener)
    total, left = planner.tree.distinct, planner.campaign.strategy.left
    several = f"{len(planner.candidates)} candidates"
    if left:
        several = f"the first {len(planner.candidates)} of {len(planner.candidates) + left} candidates"
    besides = f" and {len(study.control_runs)} of {study.seed_control.candidate.order}" if study.seed_control else ""
    console.print(
        f"{several} × {study.settings.seeds} roots{besides}: {planner.tree.naive} stages alone, "
        f"{total} shared, {total - planner.tree.remaining} of them not needed or in the store"
    )
    with Stopping(planner.stop, study.settings.grace) as stopping, _closing(tracker, planner):
        with _cluster(study, planner, console) as joined:
            stopping.renew()
            if joined and joined.dashboard:
                console.print(f"Ray's dashboard is at {joined.dashboard}")
            folder = RunFolder(study, command, started)
            stopping.leaving = lambda: _leave(planner, folder)
            recorder.open(folder.path / "study.journal")
            if tracker:
                tracker.open(folder.path, planner.prices)
            facts: dict[str, Any] = {"slots": joined.slots if joined else 0, "worker_starts": 0}
            try:
                if joined and not planner.idle:
                    from search.runner import run

                    writer.open(folder.path / "tensorboard")
                    metrics.open(folder.path.name, planner, joined.slots)
                    with view:
                        view.watch(planner, joined.slots)
                        facts["worker_starts"] = run(study.settings, planner, joined, tick)
            except BaseException:
                folder.manifest("failed", {}, {})
                raise
            finally:
                metrics.close()
                writer.close()
                recorder.close()
        try:
            return _finish(study, planner, folder, facts, console)
        except StoreTrouble:
            planner.stop("the store could not be reached")
            _leave(planner, folder)
            raise


@contextmanager
def _closing(tracker: Tracking | None, planner: Planner) -> Iterator[None]:
    """At the end the tracker, if there is one, is told how the study ended."""
    status = "failed"
    try:
        yield
        status = "done" if planner.finished else "stopped"
    finally:
        if tracker:
            tracker.close(status)


def _leave(planner: Planner, folder: RunFolder) -> None:
    """What is written before an exit at once: that the run was stopped. Every stage that ended is in the store."""
    folder.manifest("stopped", planner.cost_summary(), {"stopped": planner.stopped, "failed": planner.failed})


def _cluster(study: Study, planner: Planner, console: Console) -> AbstractContextManager[Joined | None]:
    """A started Ray while something is left to run; Ray is not even imported where nothing is."""
    if planner.finished:
        return nullcontext()
    console.print("starting Ray …")
    from search.cluster import joined

    return joined(study.settings, study.workplace())


def _finish(study: Study, planner: Planner, folder: RunFolder, facts: Mapping[str, Any], console: Console) -> int:
    """Write the tables and what is made of them, print the leaderboard and what became of the run; the exit code."""
    from search.leaderboard.terminal import print_board

    status, cost = "done" if planner.finished else "stopped", planner.cost_summary()
    board, about = folder.finish(planner, facts)
    console.print()
    if len(board):
        print_board(board, about, console)
    path = escape(str(folder.path))
    lines = [
        f"\n{cost['stages_executed']} stages run, {cost['stages_reused']} reused, {cost['stages_naive']} without "
        f"sharing; {folder.seconds:.0f} s{_parents(cost['parents_from'])}{_troubles(planner)}",
        f"\n[bold]{path}/[/] leaderboard.(html|md|csv|tex|…) scores.(parquet|csv) manifest.json config.yaml …",
        f"next:  order-search show {path}",
        f"       order-search run --space {path}/config.yaml   repeats this run",
        *(f"[red]failed[/] {escape(name)}: {escape(redacted(reason))}" for name, reason in planner.failed.items()),
        *(
            [f"[yellow]stopped[/] {escape(planner.stopped)}: the same command goes on from here"]
            if status == "stopped"
            else []
        ),
    ]
    for line in lines:
        console.print(line, soft_wrap=True)
    return 0 if status == "done" and not planner.failed else 1


def _parents(found: Mapping[str, int]) -> str:
    """Where stages found the weights that they started from, in shares."""
    names = {"memory": "in the process", "node": "on the node", "store": "in the store"}
    total = sum(found.get(name, 0) for name in names)
    told = (f"{100 * found.get(name, 0) / total:.0f} % {where}" for name, where in names.items())
    return f"; parents' weights found {', '.join(told)}" if total else ""


def _troubles(planner: Planner) -> str:
    """What went wrong on the way, for the line of counts."""
    failures = sum(map(len, planner.tries.failures.values()))
    collected = planner.collector.collected
    return (f"; {failures} attempts failed" if failures else "") + (
        f"; weights of {collected} stages removed to stay within the store's budget" if collected else ""
    )
