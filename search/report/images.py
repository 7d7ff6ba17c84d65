"""Pictures for papers: each as PNG and SVG through kaleido, which drives a Chromium, and its figures as CSV."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.files import write
from search.report.figures import draw
from search.report.parts import Picture
from search.report.theme import paper, themed
from search.scores import csv_text
from trainables.errors import Mistake

WIDTH, SCALE = 900, 3
"""Pixels of a picture's width, at least, and how many of a PNG's stand for one of them: 300 dpi at 9 inches."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

SECONDS = 300
"""For one picture."""


def browser() -> str | None:
    """The path of a Chromium or Chrome, by `BROWSER_PATH` or on the PATH; None where there is none."""
    import os

    named = os.environ.get("BROWSER_PATH")
    return named if named else next((found for name in BROWSERS if (found := shutil.which(name))), None)


def write_images(pictures: Sequence[Picture], folder: Path) -> list[Path]:
    """Write `NAME.png`, `NAME.svg` and `NAME.csv` of each picture; the paths of the pictures.

    Raises Mistake where kaleido or a browser is missing, or the browser does not draw.
    """
    try:
        import kaleido
    except ImportError as error:
        right = "pip install 'order-search[figures]'"
        what = "pictures are written with kaleido, which is not installed"
        raise Mistake(what, where="--figures", right=right) from error
    path = browser()
    if path is None:
        right = "a Chromium or Chrome on the PATH (apt-get install chromium), or its path in BROWSER_PATH"
        raise Mistake("pictures are drawn by a browser, and there is none", where="--figures", right=right)
    for picture in pictures:
        write(folder / f"{file_name(picture.name)}.csv", csv_text(picture.table))
    figures = [(file_name(picture.name), themed(draw(picture), paper())) for picture in pictures]
    for name in ("kaleido", "choreographer", "browser_proc"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they log as they please
    try:
        return asyncio.run(_write(kaleido, figures, folder, path))
    except (RuntimeError, OSError, TimeoutError) as error:
        right = f"a Chromium that starts: `{path} --headless --no-sandbox --dump-dom about:blank`"
        raise Mistake(f"the browser did not draw: {error}", where="--figures", right=right) from error


def file_name(name: str) -> str:
    """A picture's name as one of a file: names of methods and tasks from a run folder lead to no other folder."""
    return re.sub(r"[^\w.=+-]+", "-", name)[:150].lstrip(".") or "picture"


async def _write(kaleido: Any, figures: Sequence[tuple[str, dict[str, Any]]], folder: Path, path: str) -> list[Path]:
    """One browser for all; no page is fetched from anywhere (MathJax, by default from a CDN, is off)."""
    page = kaleido.PageGenerator(mathjax=False)
    made = []
    async with kaleido.Kaleido(n=1, timeout=SECONDS, page_generator=page, path=path) as drawing:
        for name, figure in figures:
            layout = figure["layout"]
            size = {"width": max(WIDTH, layout["meta"]["min_width"]), "height": layout["height"]}
            for form, scale in (("svg", 1), ("png", SCALE)):
                content = await drawing.calc_fig(figure, opts={"format": form, "scale": scale, **size})
                write(folder / f"{name}.{form}", content)
                made.append(folder / f"{name}.{form}")
    return made
