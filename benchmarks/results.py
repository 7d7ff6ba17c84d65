"""Append a benchmark's figures to RESULTS.md, with the machine, versions, date and command."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def record(title: str, lines: list[str], command: str) -> None:
    """Print the lines and append them under a dated heading."""
    about = (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores {platform.machine()}, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, torch {version('torch')}, ray {version('ray')}"
    )
    text = f"\n## {title}\n{about}\n\n    {command}\n\n" + "\n".join(lines) + "\n"
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(text)
    sys.stdout.write(text)
