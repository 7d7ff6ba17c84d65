"""How large is the report of 300 orders × 40 languages, how long does it take to make, and how soon is it open?

    python -m benchmarks.report_size [--record]

A planted study: 300 orders of 5 tasks, 40 languages, 3 roots, one edit at three severities, forgetting. Everything that
`order-search report` does is timed; then the page is opened in a headless Chromium, as a person's first visit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "search"))

from benchmarks.results import record

ORDERS, ROOTS = 300, 3
LIMIT_BYTES, LIMIT_SECONDS = 6_000_000, 3.0


def made(folder: Path, orders: int = ORDERS, roots: int = ROOTS) -> Path:
    """A run folder of that size."""
    from made_runs import made_run

    from search.order import OrderSpace
    from trainables.languages import LANGUAGES

    codes = [code for code in LANGUAGES if len(code) == 2][:40]
    tasks = tuple(f"mini-{name}" for name in ("nli", "paraphrase", "tags", "topic", "squad"))
    space = OrderSpace(tasks)
    return made_run(
        folder, tasks=tasks, orders=[str(space[i]) for i in range(orders)], roots=roots, edits=["keyboard"],
        severities=[1, 3, 5], forgetting=True, order_sd=0.8, targets={"mini-xnli": codes, "mini-pos": codes},
    )  # fmt: skip


def measure(folder: Path) -> list[str]:
    """Make and open the report; what was measured, a line each."""
    from search.analysis.findings import findings
    from search.publish import published
    from search.report.write import write_report
    from search.results import load

    started = time.perf_counter()
    results = load([made(folder / "run")])
    read = time.perf_counter()
    board = published(results)[0]
    found = findings(results)
    analysed = time.perf_counter()
    write_report(results, folder, board.board, found, board.about)
    written = time.perf_counter()
    size = (folder / "report.html").stat().st_size
    opened, drawn = open_times(folder / "report.html")
    return [
        f"{ORDERS} orders × 40 languages × {ROOTS} roots, {len(results.scores):,} score rows",
        f"made and read in {read - started:.1f} s, leaderboard and findings {analysed - read:.1f} s",
        f"report (page, Markdown, JSON, card) {written - analysed:.1f} s",
        f"report.html {size / 1e6:.2f} MB (limit {LIMIT_BYTES / 1e6:.0f})",
        f"open (load event, leaderboard usable) {opened:.2f} s (limit {LIMIT_SECONDS:.0f}), first figure {drawn:.2f} s",
    ]


def open_times(page: Path) -> tuple[float, float]:
    """Seconds from navigation to the load event, and to the first figure, scrolled to at once; the median of three."""
    from browser import chromium

    found = []
    with chromium() as browser:
        for _ in range(3):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.goto(page.as_uri())
            opened = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd / 1000")
            tab.evaluate("document.querySelector('.plot').scrollIntoView()")
            tab.locator(".plot .main-svg").first.wait_for(state="attached", timeout=60_000)
            found.append((opened, tab.evaluate("performance.now() / 1000")))
            tab.close()
    return tuple(sorted(times)[1] for times in zip(*found, strict=True))  # type: ignore[return-value]


def main() -> None:
    """Measure, print, and record where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = measure(Path(folder))
    if given.record:
        record("The report of 300 orders × 40 languages", lines, "python -m benchmarks.report_size")
    else:
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
