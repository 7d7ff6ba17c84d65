"""`order-search ls`: what there is, as a table, JSON or CSV. Imports neither torch nor Ray."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from perturb.edits import EDITS, Resources, edit_class, make_edit
from perturb.recipes import RECIPES, recipe
from perturb.recipes.stock import STOCK
from search.strategies import STRATEGIES
from trainables.config import configs_dir, names, read_yaml
from trainables.errors import Mistake
from trainables.languages import LANGUAGES
from trainables.methods import METHODS
from trainables.untrusted import read_json

Rows = list[dict[str, Any]]

DESCRIBED = ("name", "type", "unit", "meaning", "empty")
"""What is said of a column; `unit` and `empty` may be left out."""


def listing(what: str, out: str = "runs") -> Rows:
    """The rows of one kind of thing."""
    match what:
        case "tasks":
            return [_task(name) for name in names("tasks")]
        case "spaces" | "suites" | "perturbations":
            files = {name: read_yaml(configs_dir() / what / f"{name}.yaml") for name in names(what)}
            return [{"name": name, "question": content.get("question", "")} for name, content in files.items()]
        case "presets":
            texts = {name: (configs_dir() / what / f"{name}.yaml").read_text("utf-8") for name in names(what)}
            return [{"name": name, "settings": text.split("\n")[0].lstrip("# ")} for name, text in texts.items()]
        case "languages":
            return [{"code": code, **info._asdict()} for code, info in LANGUAGES.items()]
        case "columns":
            return [{"table": table, **column} for table, column in described()]
        case "methods":
            return [{"name": name, "tunes": text} for name, text in METHODS.items()]
        case "edits":
            return [_edit(name) for name in EDITS]
        case "attacks":
            return [_recipe(name) for name in (*RECIPES, *STOCK)]
        case "strategies":
            return [{"name": name, "does": _first_line(made.__doc__)} for name, made in STRATEGIES.items()]
        case _:
            return _runs(Path(out))


def described() -> Iterator[tuple[str, dict[str, str]]]:
    """The columns of leaderboard.* and scores.*, each with its table; a name may end in `*`."""
    for table, columns in read_yaml(configs_dir() / "columns.yaml").items():
        for column in columns:
            yield table, {name: column.get(name, "") for name in DESCRIBED}


def print_rows(title: str, rows: Rows, form: str, console: Console) -> None:
    """Print rows as a table, JSON or CSV."""
    if form == "json":
        console.file.write(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    elif form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        console.file.write(text.getvalue())
    elif not rows:
        console.print(f"no {title}")
    else:
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for column in rows[0]:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(str(value)) for value in row.values()))
        console.print(table)


def _task(name: str) -> dict[str, Any]:
    content = read_yaml(configs_dir() / "tasks" / f"{name}.yaml")
    return {
        "name": name, "kind": content["kind"],
        "languages": len(content.get("languages", [])) or len(content.get("mixed", [])) ** 2,
        "trained_on": content.get("train") or ("none" if content["kind"] == "retrieval" else name),
        "question": content.get("question", ""),
    }  # fmt: skip


def _edit(name: str) -> dict[str, Any]:
    cls, edit = edit_class(name), make_edit(name, Resources())
    xtreme = read_yaml(configs_dir() / "tasks" / "panx.yaml")["languages"]
    return {
        "name": name, "keeps": "control" if cls.control else cls.keeps,
        "languages": sum(map(edit.exists, xtreme)) if edit else "its resource's", "description": cls.description,
    }  # fmt: skip


def _recipe(name: str) -> dict[str, Any]:
    found = recipe(name)
    return {"name": name, "keeps": found.keeps, "description": found.description, "paper": found.paper}


def _runs(out: Path) -> Rows:
    rows = []
    for path in sorted(out.glob("*/manifest.json")):
        try:
            manifest = read_json(path)
            rows.append({
                "run": str(path.parent), "status": manifest["status"], "candidates": manifest["candidates"],
                "seconds": round(manifest["cost"]["seconds"]),
            })  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            what = f"the manifest cannot be read: {type(error).__name__}: {error}"
            raise Mistake(what, where=str(path), right="take the folder away, or another --out") from error
    return rows


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]
