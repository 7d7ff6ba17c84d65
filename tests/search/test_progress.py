"""What a person sees: plain lines without a terminal, one picture on it; names are shown as they are."""

from __future__ import annotations

import io
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from search import progress
from search.candidate import Candidate
from search.order import Order
from search.progress import View, _clock
from trainables.attempt import Attempt

NAME = "[red]mini-nli>x[/] full 0.001 #0"


def planner_of(order="[red]>mini-nli", running=None, distinct=40, remaining=30, tries=None, held=None):
    """As much of a planner as a view reads."""
    tree = SimpleNamespace(distinct=distinct, remaining=remaining, reused=5, lower_bound=lambda workers: 60.0 / workers)
    stages = {key: (None, f"[bold]{key}[/] | train x #0") for key in running or {}}
    candidate = Candidate(Order((tuple(order.split(">")[:1]), tuple(order.split(">")[1:]))), "full", 1e-3)
    return SimpleNamespace(
        tree=tree, running=running or {}, stages=stages, varied=False, standings=lambda: [(candidate, 0.654, 2)],
        to_come=lambda: 0.0, held=held or {}, attempt=lambda key: (tries or {}).get(key, Attempt()),
    )  # fmt: skip


def plain():
    return Console(file=io.StringIO(), width=80)


def live():
    return Console(file=io.StringIO(), force_terminal=True, width=120, record=True)


def tell(view):
    view.hear("run", {"name": NAME, "score": 0.5})
    view.hear("retry", {"label": NAME, "reason": "OSError: [/] [Errno 28]", "attempt": 2})
    view.hear("failed", {"name": NAME, "reason": "Diverged: tensor[3, 4]"})
    view.hear("stage", {"label": NAME, "made": True})


def test_plain_lines_for_what_matters():
    console = plain()
    with View(console) as view:
        tell(view)
    assert console.file.getvalue().splitlines() == [
        f"done {NAME}  zero-shot 50.0",
        f"again {NAME}: OSError: [/] [Errno 28] (attempt 2)",
        f"failed {NAME}: Diverged: tensor[3, 4]",
    ]


def test_plain_summaries_now_and_then(monkeypatch):
    console, view = plain(), None
    view = View(console)
    view.tick()
    view.watch(planner_of(), 2)
    view.tick()
    assert console.file.getvalue() == ""
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    view.tick()
    line = console.file.getvalue()
    assert "stages 10 of 40 (5 reused), about 0:30 left; best so far [red]>mini-nli 65.4" in line
    assert len(line.splitlines()) == 1


def test_the_picture(monkeypatch):
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    console = live()
    with View(console) as view:
        view.watch(planner_of(running={"a": "host:1", "[b]": ""}), 2)
        view.tick()
        tell(view)
    shown = console.export_text()
    for expected in ("stages", "10/40", "5 reused", "[bold]a[/] | train x #0", "on host:1", "[bold][b][/]",
                     "[red]>mini-nli", "65.4", f"again {NAME}", f"failed {NAME}", "tensor[3, 4]"):  # fmt: skip
        assert expected in shown
    assert "done " not in shown  # what went well is in the picture


def test_running_stages_say_where_how_long_and_which_attempt(monkeypatch):
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    planner = planner_of(running={"a": "host:1", "b": ""}, tries={"a": Attempt(2, 4)}, held={"c": "other:7"})
    console = live()
    with View(console) as view:
        view.watch(planner, 2)
        view.tick()
        now[0] += 75
        view.tick()
        first = console.export_text()
        planner.running["a"] = "host:2"  # begun anew on another
        now[0] += 1
        view.tick()
        second = console.export_text()
    assert "on host:1 for 1:15  attempt 2  batches in 4 parts" in first
    assert "waits for a worker" in first
    assert "held     stages that other studies are at: 1" in first
    assert "on host:2 for 0:00" in second


def test_the_picture_names_all_that_varies(monkeypatch):
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    console, planner = live(), planner_of()
    planner.varied = True
    with View(console) as view:
        view.watch(planner, 1)
        view.tick()
    assert "[red]>mini-nli full 0.001" in console.export_text()


def test_many_running_stages_fit_the_screen(monkeypatch):
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    console = live()
    with View(console) as view:
        view.watch(planner_of(running={f"stage{number}": "w" for number in range(200)}), 200)
        view.tick()
    assert len(console.export_text().splitlines()) < 40


def test_drawing_is_limited(monkeypatch):
    drawn = []
    view = View(live())
    monkeypatch.setattr(view, "_picture", lambda planner: drawn.append(1) or "")
    view.watch(planner_of(), 1)
    view._last = time.monotonic() - 1
    for _ in range(100):
        view.tick()
    assert len(drawn) == 1


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3661, "1:01:01")])
def test_clock(seconds, shown):
    assert _clock(seconds) == shown
