"""`order-search gc` and `order-search show --store`: what lies in a store, and taking away what nothing needs."""

from __future__ import annotations

import argparse
import json
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from search.flags import Parser
from trainables.errors import Mistake

if TYPE_CHECKING:
    from trainables.store_inventory import Inventory, Kept, State

GC_DOES = "take away from a store what nothing needs: what dead writers left and, if asked, weights"

FORMATS = ("table", "json", "csv")
STORE = "folder or URL of the stages' outputs"
SIZES = ("weights", "predictions", "other")

LOOKED = 7.5
"""Seconds for which `show` looks whether workers of other machines are alive, where there are any."""

LISTED = 8
"""Workers that are named at most: one screen."""


def read_gc(parser: Parser) -> None:
    """The flags of `gc`."""
    parser.description = f"{parser.description} Nothing is lost that is not made again when it is needed."
    parser.add_argument("--store", metavar="URL", help=f"{STORE} (OUT/store)")
    parser.add_argument("--out", default="runs", metavar="DIR", help="folder whose store it is (runs)")
    parser.add_argument(
        "--keep-under", type=size, metavar="BYTES",
        help="take weights away, too, until the rest is within so many bytes (20GB); figures stay (no)",
    )  # fmt: skip
    parser.add_argument(
        "--older-than", type=seconds, default=3600.0, metavar="SECONDS",
        help="leave alone what was written since, by the store's own clock (3600)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="say what would go, take nothing away")
    parser.add_argument("--force", action="store_true", help="even while workers use the store")
    parser.add_argument("--format", choices=FORMATS, default="table")


def gc(given: Namespace, console: Console) -> int:
    """Collect. Raises Mistake where there is no store, nothing can be written to it, or workers use it."""
    from trainables.store import StoreTrouble

    try:
        return _gc(given, console)
    except StoreTrouble as error:
        raise Mistake(str(error), where="order-search gc", right="the same again; what is gone is gone") from error


def _gc(given: Namespace, console: Console) -> int:
    from trainables.store_gc import MEANING, garbage, take_away

    inventory = _inventory(given.store or str(Path(given.out) / "store"), "--store" if given.store else "--out")
    inventory.store.writable()
    workers = _states(inventory, given.dry_run or given.force)
    alive = sorted(_name(path) for path, state in workers.items() if state == "alive")
    if alive and not (given.force or given.dry_run):
        named = ", ".join(alive[:LISTED]) + (f" and {len(alive) - LISTED} more" if len(alive) > LISTED else "")
        raise Mistake(
            f"{len(alive)} workers use the store: {named}", where=f"--store {inventory.store.url}",
            right="when their studies have ended; or --dry-run, or --force: weights that they need are made again",
        )  # fmt: skip
    found = garbage(inventory, workers, given.older_than, given.keep_under)
    freed = found.bytes if given.dry_run else take_away(inventory.store, found)
    rows = [{"what": what, "is": MEANING[what], "files": n, "bytes": size} for what, n, size in found.rows()]
    kept = inventory.bytes - freed
    _print("to be taken away" if given.dry_run else "taken away", rows, ("bytes",), given.format, console, {
        "freed": freed, "kept": kept, "dry_run": given.dry_run,
    })  # fmt: skip
    if given.format == "table":
        console.print(f"{'would free' if given.dry_run else 'freed'} {_human(freed)}; {_human(kept)} stay")
        if given.keep_under is not None and kept > given.keep_under:
            console.print(f"that is more than {_human(given.keep_under)}: no more train weights are there to be taken")
    return 0


def show_store(url: str, form: str, console: Console) -> int:
    """Print what lies in a store: stages by kind and tasks, their bytes, attempts and workers."""
    inventory = _inventory(url, "--store")
    rows = _rows(inventory)
    total = {"kind": "total", "tasks": "", **{name: sum(row[name] for row in rows) for name in (*COUNTED, *SIZES)}}
    states = inventory.workers(LOOKED)
    workers = [{"worker": _name(path), "state": state} for path, state in sorted(states.items())]
    from trainables.redaction import redacted

    title = f"the store {redacted(url)}"
    more = {"store": redacted(url), "total": total, "workers": workers}
    _print(title, [*rows, *([] if form == "json" else [total])], SIZES, form, console, more)
    if form == "table":
        console.print(_workers(states), markup=False)
    return 0


COUNTED = ("stages", "collected", "attempts")


def _rows(inventory: Inventory) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str], Counter[str]] = {}

    def count(kind: str, tasks: str, **numbers: int) -> None:
        rows.setdefault((kind, tasks), Counter()).update(numbers)

    for key, attempts in inventory.attempts.items():
        kept = inventory.stages.get(key)
        kind, tasks = _kind(kept) if kept and (kept.stored or kept.collected) else ("not stored", "")
        count(kind, tasks, attempts=len(attempts), other=sum(file.size for file in attempts.values()))
    for kept in inventory.stages.values():
        if kept.stored or kept.collected:
            kind, tasks = _kind(kept)
            count(kind, tasks, stages=kept.stored, collected=kept.collected, **_sizes(kept))
        if kept.unnamed:
            count("no record", "", other=sum(file.size for file in kept.unnamed.values()))
    known = sum(sum(numbers[name] for name in SIZES) for numbers in rows.values())
    if inventory.bytes > known:
        count("beside", "", other=inventory.bytes - known)  # archives of models and data, documents, signs of life
    order = ("train", "score", "texts", "not stored", "no record", "beside")
    return [
        {"kind": kind, "tasks": tasks, **{name: numbers[name] for name in (*COUNTED, *SIZES)}}
        for (kind, tasks), numbers in sorted(rows.items(), key=lambda row: (order.index(row[0][0]), row[0][1]))
    ]


def _kind(kept: Kept) -> tuple[str, str]:
    """A stage's kind and tasks, for people. Records are others' words: only what has the right form is said."""
    kind, tasks = kept.stage.get("kind"), kept.stage.get("tasks")
    if kind in ("train", "score") and isinstance(tasks, list):
        settings = kept.stage.get("settings")
        measure = settings.get("measure") if isinstance(settings, dict) else None
        return kind, "+".join(map(str, tasks)) + (f" ({measure})" if measure else "")
    return "texts", str(kept.record.get("task", ""))


def _sizes(kept: Kept) -> dict[str, int]:
    from trainables.stage import PREDICTIONS
    from trainables.store import blobs_of, file_of
    from trainables.store_gc import weights_of

    weights = weights_of(kept)
    scored = file_of(blobs_of(kept.record).get(PREDICTIONS))
    predictions = kept.files[scored].size if kept.stored and scored in kept.files else 0
    named = sum(file.size for name, file in kept.files.items() if name not in kept.unnamed)
    return {"weights": weights, "predictions": predictions, "other": named - weights - predictions}


def _inventory(url: str, flag: str) -> Inventory:
    """What lies at a URL; a Mistake where that is no store, or cannot be read."""
    from trainables.store import Store, StoreTrouble
    from trainables.store_inventory import Inventory

    store = Store(url)
    try:
        store.hasty().medium.names("alive")  # before anything is waited for
        found = Inventory(store)
    except StoreTrouble as error:
        raise Mistake(str(error), where=f"{flag} {url}", right="a store that can be read") from error
    if not found.is_store:
        right = "the folder or URL that a study was given as --store, or its OUT/store"
        raise Mistake(f"there is no store at {url}", where=flag, right=right)
    return found


def _states(inventory: Inventory, hurried: bool) -> dict[str, State]:
    states = inventory.workers(0)
    silent = sum(state == "silent" for state in states.values())
    if hurried or not silent or "alive" in states.values():
        return states
    told = f"looking for up to 30 s whether {silent} workers of other machines are alive"
    Console(stderr=True).print(told, markup=False)
    return inventory.workers()


def _workers(states: dict[str, State]) -> str:
    counts = Counter(states.values())
    if not states:
        return "workers: none"
    alive = sorted(_name(path) for path, state in states.items() if state == "alive")
    named = f" ({', '.join(alive[:LISTED])}{', …' if len(alive) > LISTED else ''})" if alive else ""
    return f"workers: {counts['alive']} alive{named}, {counts['gone'] + counts['silent']} gone or silent"


def _print(
    title: str, rows: list[dict[str, Any]], sizes: tuple[str, ...], form: str, console: Console, more: dict[str, Any]
) -> None:
    from search.listing import print_rows

    if form == "json":
        console.file.write(json.dumps({**more, "rows": rows}, indent=1, ensure_ascii=False) + "\n")
        return
    if form == "table":
        rows = [{name: _human(value) if name in sizes else value for name, value in row.items()} for row in rows]
    print_rows(title, rows, form, console)


def _name(path: str) -> str:
    return path.removeprefix("alive/").removesuffix(".json")


def _human(number: int) -> str:
    """Bytes as people say them, in powers of 1000."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def size(text: str) -> int:
    """A number of bytes: `500MB`, `20GB`, `0`."""
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError as error:
        raise argparse.ArgumentTypeError(f"a number of bytes such as 20GB is needed, but got '{text}'") from error


def seconds(text: str) -> float:
    """A number of seconds, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of seconds is needed, but got '{text}'")
    return value
