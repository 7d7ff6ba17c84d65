"""Parse a command, do it, and tell mistakes on one screen. torch, Ray and pandas are imported only where needed."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from trainables.errors import Mistake, nearest

DONE, WITH_FAILURES, MISTAKE = 0, 1, 2

PIPED_WIDTH = 132
"""Columns of what goes to a file or a pipe, where there is no terminal to ask."""

VERBS = {
    "run": "search for the best order (the default when flags come first)",
    "validate": "read a task and its data: figures, examples, and everything that is wrong",
    "difficulty": "measure how hard each intermediate task is: train it alone, score it on its English dev set",
    "ls": "list what there is: spaces, suites, tasks, perturbations, edits, languages, runs and more",
    "show": "show the leaderboard of a finished run",
}

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
    "runs",
)


class Parser(argparse.ArgumentParser):
    """Tells a wrong flag as a Mistake, with the nearest valid one."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing usage and exiting."""
        place, told = message.removeprefix("argument ").split(": ", 1) if ": " in message else (self.prog, message)
        flags = [option for action in self._actions for option in action.option_strings if option != "-h"]
        unknown = re.match(r"unrecognized arguments: (-[^ =]*)", message)
        choice = re.match(r"invalid choice: '(.*)' \(choose from (.*)\)$", told, re.DOTALL)
        if unknown:
            raise Mistake(f"unknown flag {unknown[1]}", where=self.prog, right=nearest(unknown[1], flags))
        if choice:
            right = nearest(choice[1], re.findall(r"'([^']*)'", choice[2]))
            raise Mistake(f"unknown value '{choice[1]}'", where=f"{self.prog}, {place}", right=right)
        if not message.startswith("argument "):
            place, told = self.prog, message
        raise Mistake(told, where=place, right=f"{self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code: 0 done, 1 done with failed candidates, 2 a mistake of the user's."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    console = Console(highlight=False, width=wide)
    debug = "--debug" in given
    try:
        return _dispatch(given, console)
    except Mistake as mistake:
        if debug:
            raise
        told = Text.assemble(("mistake ", "bold red"), str(mistake))
        Console(stderr=True, highlight=False).print(told, soft_wrap=True)  # a path cut in two could not be copied
        return MISTAKE
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; the same command goes on from here")
        return WITH_FAILURES
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _dispatch(given: list[str], console: Console) -> int:
    verb, rest = (given[0], given[1:]) if given and not given[0].startswith("-") else ("run", given)
    if verb not in VERBS:
        raise Mistake(f"unknown command '{verb}'", where="order-search", right=nearest(verb, VERBS))
    handlers = {"run": _run, "validate": _validate, "difficulty": _difficulty, "ls": _ls, "show": _show}
    return handlers[verb](rest, console)


def _run(rest: Sequence[str], console: Console) -> int:
    flags = vars(run_parser().parse_args(rest))
    from search.study_run import run_study

    return run_study(flags, command=["order-search", "run", *rest], console=console)


def run_parser() -> Parser:
    """The flags of `run`. No flag has a default here: what is not given comes from the files and `settings.py`."""
    verbs = "\n".join(f"  {name:10} {text}" for name, text in VERBS.items())
    parser = Parser(
        prog="order-search run",
        description="Search for the order of English intermediate tasks that transfers best to other languages.",
        epilog=f"commands:\n{verbs}\n\nThe same command again goes on where it stopped; nothing is trained twice.",
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    what = parser.add_argument_group("what is searched")
    what.add_argument("--space", help="a name of configs/spaces, or a YAML file such as a run's config.yaml (orders)")
    what.add_argument("--preset", help="published settings: a name of configs/presets, or a YAML file (none)")
    what.add_argument("--suite", help="the tasks to choose from: mini, xtreme, or a YAML file (mini)")
    what.add_argument("--model", help="micro, a folder, or a hub id such as FacebookAI/xlm-roberta-base (the suite's)")
    what.add_argument("--method", help="tuning methods, separated by commas (full)")
    what.add_argument("--targets", help="target tasks, separated by commas (the suite's)")
    what.add_argument("--languages", help="test languages, separated by commas (those the tasks list)")
    what.add_argument("--perturbations", help="suites that robustness is measured on, separated by commas (none)")
    what.add_argument("--strategy", help="who proposes candidates: a name of `ls strategies` (exhaustive)")
    what.add_argument("--confidence", type=float, help="name the best few's best on fresh roots, this surely (no)")
    what.add_argument("--candidates", type=_count, help="candidates at most (all; of strategies that learn, 100)")
    what.add_argument("--seeds", type=_count, help="root seeds: independent repetitions of each candidate (2)")
    what.add_argument(
        "--seed-control", type=_count, metavar="M", help="besides the search M more root seeds of one order (none)"
    )
    what.add_argument("--objective", help="what the search is told: en-dev or target-dev, an oracle (en-dev)")
    what.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting, e.g. train.steps=50"
    )
    where = parser.add_argument_group("where things are")
    where.add_argument("--data-dir", help="folder of data sets, DIR/TASK/SPLIT.jsonl[.gz] or .parquet")
    where.add_argument("--out", help="folder that run folders are made in (runs)")
    where.add_argument("--store", help="folder or URL of the stages' outputs, shared by runs (OUT/store)")
    how = parser.add_argument_group("how it runs")
    how.add_argument("--address", help="a Ray cluster, e.g. auto (this machine alone)")
    how.add_argument("--gpus-per-trial", type=float, help="GPUs of a trial, fractions allowed (0)")
    how.add_argument("--cpus-per-trial", type=_count, help="CPU cores and threads of a trial (1)")
    how.add_argument("--max-concurrent", type=_count, help="trials at once (as many as fit)")
    how.add_argument(
        "--limit", type=_count, help="examples a language and split, training included; stamps results LIMITED"
    )
    how.add_argument("--on-bad-row", help="a malformed row of data: error, or skip: leave it out and go on (error)")
    how.add_argument("--dry-run", action="store_true", help="print the plan and what it costs, train nothing")
    how.add_argument("--debug", action="store_true", help="show tracebacks of mistakes")
    return parser


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"a whole number of 1 or more is needed, but got '{text}'")
    return int(text)


def _count_or_none(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _validate(rest: Sequence[str], console: Console) -> int:
    parser = Parser(
        prog="order-search validate",
        description=f"{VERBS['validate'].capitalize()}. Exit code 0 where nothing is wrong, 2 where something is.",
        allow_abbrev=False,
    )
    parser.add_argument("task", metavar="FILE", help="a task's YAML file, or the name of a task of configs/tasks")
    parser.add_argument("--data-dir", help="folder of data sets, DIR/TASK/SPLIT.jsonl[.gz] or .parquet")
    parser.add_argument("--model", default="micro", help="whose tokenizer: micro, a folder or a hub id (micro)")
    parser.add_argument(
        "--examples", type=_count_or_none, default=10, metavar="N", help="examples shown of a split and language (10)"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    given = parser.parse_args(rest)
    from search.validate import validate

    clean = validate(given.task, given.data_dir, given.model, given.examples, given.format, console)
    return DONE if clean else MISTAKE


def _difficulty(rest: Sequence[str], console: Console) -> int:
    parser = Parser(
        prog="order-search difficulty",
        description=f"{VERBS['difficulty'].capitalize()}. All tasks train on as many rows for as many steps.",
        allow_abbrev=False,
    )
    parser.add_argument("--suite", help="whose intermediate tasks (mini)")
    parser.add_argument("--data-dir", help="folder of data sets, DIR/TASK/SPLIT.jsonl[.gz] or .parquet")
    parser.add_argument("--model", help="micro, a folder or a hub id (the suite's)")
    parser.add_argument("--seeds", type=_count, help="root seeds that are averaged over (2)")
    parser.add_argument("--limit", type=_count, help="rows of a task at most (those of the smallest)")
    parser.add_argument("--out", help="folder whose store is used (runs)")
    parser.add_argument("--store", help="folder or URL of the stages' outputs (OUT/store)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting of run")
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")
    given = vars(parser.parse_args(rest))
    form, overrides = given.pop("format"), given.pop("set")
    from search.difficulty import measure, rows_of
    from search.listing import print_rows
    from search.settings import load_settings, parse_overrides
    from search.study import Study

    print_rows("difficulty", rows_of(measure(Study(*load_settings(given, parse_overrides(overrides))))), form, console)
    return DONE


def _ls(rest: Sequence[str], console: Console) -> int:
    parser = Parser(prog="order-search ls", description=VERBS["ls"], allow_abbrev=False)
    parser.add_argument("what", nargs="?", choices=LISTED, help="one of these; all but languages and runs if not given")
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")
    parser.add_argument("--out", default="runs", help="folder of run folders (runs)")
    given = parser.parse_args(rest)
    from search.listing import listing, print_rows

    for what in [given.what] if given.what else LISTED[:-2]:
        print_rows(what, listing(what, given.out), given.format, console)
    return DONE


def _show(rest: Sequence[str], console: Console) -> int:
    parser = Parser(prog="order-search show", description=VERBS["show"], allow_abbrev=False)
    parser.add_argument("run", help="a run folder, e.g. runs/orders-20260131-120000")
    given = parser.parse_args(rest)
    from search.leaderboard.terminal import show

    show(given.run, console)
    return DONE
