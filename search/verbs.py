"""All commands besides `run`: how each is read, and what it does. Heavy libraries are imported when a verb is done."""

from __future__ import annotations

import io
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from search import store_verbs
from search.flags import Parser, count, count_or_none, names
from search.report import command as report
from trainables.errors import Mistake, nearest

if TYPE_CHECKING:
    from search.leaderboard.views import Viewed
    from search.results import Results

DONE, MISTAKE = 0, 2

LISTED = (
    "spaces",
    "suites",
    "presets",
    "tasks",
    "methods",
    "strategies",
    "perturbations",
    "edits",
    "attacks",
    "languages",
    "columns",
    "runs",
)

LONG = ("languages", "columns", "runs")
"""What `ls` lists only where it is asked for."""

WIDE = 200
"""Columns of a table that is written into a file."""

RUN = "a run folder, e.g. runs/orders-20260131-120000"
BOARD_FORMATS = ("table", "csv", "md", "json", "html", "tex", "parquet")
GROUPS = ("language", "family", "script", "target", "method", "perturbation")


class Verb(NamedTuple):
    """What a command does in a few words, how its words are read, and what is done then: it returns the exit code."""

    does: str
    read: Callable[[Parser], None]
    act: Callable[[Namespace, Console], int]

    def parser(self, name: str) -> Parser:
        """The parser of the verb's words."""
        parser = Parser(prog=f"order-search {name}", description=f"{self.does[0].upper()}{self.does[1:]}.",
                        allow_abbrev=False)  # fmt: skip
        self.read(parser)
        return parser


def _read_validate(parser: Parser) -> None:
    parser.description = f"{parser.description} Exit code 0 where nothing is wrong, 2 where something is."
    parser.add_argument("task", metavar="FILE", help="a task's YAML file, or the name of a task of configs/tasks")
    parser.add_argument("--data-dir", help="folder of data sets, DIR/TASK/SPLIT.jsonl[.gz] or .parquet")
    parser.add_argument("--model", default="micro", help="whose tokenizer: micro, a folder or a hub id (micro)")
    parser.add_argument(
        "--examples", type=count_or_none, default=10, metavar="N", help="examples shown of a split and language (10)"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def _validate(given: Namespace, console: Console) -> int:
    from search.validate import validate

    clean = validate(given.task, given.data_dir, given.model, given.examples, given.format, console)
    return DONE if clean else MISTAKE


def _read_difficulty(parser: Parser) -> None:
    parser.description = f"{parser.description} All tasks train on as many rows for as many steps."
    parser.add_argument("--suite", help="whose intermediate tasks (mini)")
    parser.add_argument("--data-dir", help="folder of data sets, DIR/TASK/SPLIT.jsonl[.gz] or .parquet")
    parser.add_argument("--model", help="micro, a folder or a hub id (the suite's)")
    parser.add_argument("--seeds", type=count, help="root seeds that are averaged over (2)")
    parser.add_argument("--limit", type=count, help="rows of a task at most (those of the smallest)")
    parser.add_argument("--out", help="folder whose store is used (runs)")
    parser.add_argument("--store", help="folder or URL of the stages' outputs (OUT/store)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting of run")
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")


def _difficulty(given: Namespace, console: Console) -> int:
    flags = vars(given)
    form, overrides = flags.pop("format"), flags.pop("set")
    from search.difficulty import measure, rows_of
    from search.listing import print_rows
    from search.settings import load_settings, parse_overrides
    from search.study import Study

    print_rows("difficulty", rows_of(measure(Study(*load_settings(flags, parse_overrides(overrides))))), form, console)
    return DONE


def _read_ls(parser: Parser) -> None:
    parser.add_argument("what", nargs="?", choices=LISTED, help=f"one of these; if not given all but {', '.join(LONG)}")
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")
    parser.add_argument("--out", default="runs", help="folder of run folders (runs)")


def _ls(given: Namespace, console: Console) -> int:
    from search.listing import listing, print_rows

    for what in [given.what] if given.what else [name for name in LISTED if name not in LONG]:
        print_rows(what, listing(what, given.out), given.format, console)
    return DONE


def _read_show(parser: Parser) -> None:
    parser.add_argument("run", nargs="?", help=RUN)
    parser.add_argument("--top", type=count, metavar="N", default=20, help="lines of the leaderboard (20)")
    parser.add_argument("--store", metavar="URL", help="instead of a run: a store, what lies in it and who uses it")
    parser.add_argument("--format", choices=store_verbs.FORMATS, help="of a store (table)")


def _show(given: Namespace, console: Console) -> int:
    if (given.run is None) == (given.store is None):
        raise Mistake("one thing is shown: a run or a store", where="order-search show", right=f"{RUN}, or --store URL")
    if given.store is not None:
        return store_verbs.show_store(given.store, given.format or "table", console)
    if given.format:
        raise Mistake("a run is shown as a table", where=f"--format {given.format}",
                      right=f"order-search leaderboard {given.run} --format {given.format}")  # fmt: skip
    from search.leaderboard.terminal import show

    show(given.run, console, given.top)
    return DONE


def _read_leaderboard(parser: Parser) -> None:
    parser.description = f"{parser.description} What is filtered out is left out of all means and ranks."
    parser.add_argument("runs", nargs="+", metavar="RUN", help=f"{RUN}; several of one study are merged")
    kept = parser.add_argument_group("what is compared (names separated by commas; all)")
    kept.add_argument("--language", type=names, default=(), help="codes, as of `ls languages`")
    kept.add_argument("--family", type=names, default=(), help="families, e.g. Indo-European")
    kept.add_argument("--script", type=names, default=(), help="scripts, e.g. Latin,Han")
    kept.add_argument("--target", type=names, default=(), help="target tasks")
    kept.add_argument("--method", type=names, default=(), help="tuning methods")
    kept.add_argument(
        "--perturbation", type=names, default=(), metavar="EDIT",
        help="rank by what is left under edits or attacks (attack:RECIPE); none: without robust columns",
    )  # fmt: skip
    shown = parser.add_argument_group("how it is shown")
    shown.add_argument("--by", choices=GROUPS, help="a column each group; of methods a block each")
    shown.add_argument("--top", type=count, metavar="N", help="the first N lines, after ranks are made (all; table 20)")
    shown.add_argument("--format", choices=BOARD_FORMATS, help="(the ending of --out; table)")
    shown.add_argument("--out", metavar="FILE", help="write it here instead of printing it")
    parser.add_argument("--mix", action="store_true", help="runs that are not of one study, side by side")


def _leaderboard(given: Namespace, console: Console) -> int:
    form = _format(given.format, given.out)
    from search.files import write
    from search.leaderboard.exports import FORMATS
    from search.leaderboard.terminal import HEAD, print_board
    from search.results import load

    board, about = _asked(load(given.runs, given.mix), given)
    if form == "table":
        page = Console(file=io.StringIO(), width=WIDE) if given.out else console
        print_board(board, about, page, given.top or HEAD)
        content: str | bytes = page.file.getvalue() if isinstance(page.file, io.StringIO) else ""
    else:
        content = FORMATS[form](board.head(given.top) if given.top else board, about)
    if given.out:
        write(Path(given.out), content)
        console.print(f"written: {given.out}", markup=False, soft_wrap=True)
    else:
        console.file.write(str(content))
    return DONE


def _format(form: str | None, out: str | None) -> str:
    """The format that is asked for, or the one that the file's ending names."""
    ending = Path(out).suffix.removeprefix(".") if out else ""
    if form is None and out and ending not in BOARD_FORMATS:
        raise Mistake(f"'.{ending}' names no format", where=f"--out {out}", right=nearest(ending, BOARD_FORMATS))
    found = form or ending or "table"
    if found == "parquet" and not out:
        raise Mistake("parquet is not for a terminal", where="--format parquet", right="--out FILE as well")
    return found


def _asked(results: Results, given: Namespace) -> Viewed:
    """The leaderboard that the flags ask for; of all of a study with its answers."""
    from search.leaderboard.cuts import View
    from search.leaderboard.views import Viewed, view
    from search.publish import published

    asked = View(given.language, given.family, given.script, given.target, given.method, given.perturbation, given.by)
    return Viewed(*published(results)[0]) if asked == View() else view(results, asked)


def _read_compare(parser: Parser) -> None:
    parser.add_argument("first", metavar="RUN", help=RUN)
    parser.add_argument("second", metavar="RUN", help="another, of the same study or of one that shares candidates")
    parser.add_argument("--top", type=count, metavar="N", help="the first N lines (all; table 20)")
    parser.add_argument("--format", choices=("table", "md", "json", "csv"), default="table")


def _compare(given: Namespace, console: Console) -> int:
    from search.comparison import compare, sheet_of, to_csv, to_json
    from search.leaderboard.markdown import sheet_markdown
    from search.leaderboard.terminal import HEAD, print_sheet
    from search.results import load

    found = compare(load([given.first]), load([given.second]))
    match given.format:
        case "table":
            print_sheet(sheet_of(found), console, given.top or HEAD)
        case "md":
            console.file.write(sheet_markdown(sheet_of(found, given.top)))
        case "json":
            console.file.write(to_json(found, given.top))
        case _:
            console.file.write(to_csv(found, given.top))
    return DONE


VERBS = {
    "validate": Verb("read a task and its data: figures, examples, and everything that is wrong", _read_validate,
                     _validate),
    "difficulty": Verb("measure how hard each intermediate task is: train it alone, score it on its English dev set",
                       _read_difficulty, _difficulty),
    "ls": Verb("list what there is: spaces, suites, tasks, perturbations, edits, languages, runs and more", _read_ls,
               _ls),
    "show": Verb("show a finished run: its leaderboard, its findings, its files; or a store", _read_show, _show),
    "gc": Verb(store_verbs.GC_DOES, store_verbs.read_gc, store_verbs.gc),
    "leaderboard": Verb("make the leaderboard of runs, or of a part of them, in any format", _read_leaderboard,
                        _leaderboard),
    "compare": Verb("compare two runs: the candidates that both have, and what else differs", _read_compare, _compare),
    "report": Verb(report.DOES, report.read, report.report),
}  # fmt: skip
"""Every command by its name."""
