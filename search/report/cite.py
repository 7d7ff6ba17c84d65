"""How a study is cited: a BibTeX entry that names what repeats it."""

from __future__ import annotations

import re
from importlib.metadata import version

from search.results import Results

_SPECIAL = re.compile(r"([&%$#_{}])")


def cite(results: Results) -> str:
    """A `@misc` entry: title, program, year, runs, commit, model."""
    manifest, runs = results.manifest, [run.name for run in results.runs]
    year = str(manifest.get("started", ""))[:4]
    key = re.sub(r"[^A-Za-z0-9]+", "-", runs[0]).strip("-") or "study"
    note = [
        f"order-search {version('order-search')}", f"run{'s' if len(runs) > 1 else ''} {', '.join(runs)}",
        f"base model {manifest['model']['name']} ({manifest['model']['fingerprint'][:12]})",
    ]  # fmt: skip
    if manifest.get("commit"):
        note.insert(1, f"commit {manifest['commit']}")
    fields = {"title": f"{manifest['title']}: a leaderboard of task orders", "year": year, "note": "; ".join(note)}
    lines = [f"  {name:5} = {{{_escaped(text)}}}," for name, text in fields.items() if text]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text.replace("\\", "/"))
