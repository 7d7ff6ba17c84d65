"""Parse a command, do it, and tell mistakes on one screen. torch, Ray and pandas are imported only where needed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from rich.text import Text

from search.flags import Parser, count
from search.screen import Screen as Console
from search.verbs import LISTED as LISTED
from search.verbs import VERBS as OTHERS
from trainables.errors import Mistake, nearest
from trainables.redaction import redacted
from trainables.store_trouble import StoreTrouble

DONE, WITH_FAILURES, MISTAKE = 0, 1, 2

PIPED_WIDTH = 132
"""Columns of what goes to a file or a pipe, where there is no terminal to ask."""

VERBS = {
    "run": "search for the best order (the default when flags come first)",
    **{name: verb.does for name, verb in OTHERS.items()},
}
"""What every command does."""


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
    except StoreTrouble as trouble:
        Console(stderr=True, highlight=False).print(
            Text(f"{redacted(str(trouble))}; the same command goes on from here")
        )
        return WITH_FAILURES
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; the same command goes on from here")
        return WITH_FAILURES
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _dispatch(given: list[str], console: Console) -> int:
    name, rest = (given[0], given[1:]) if given and not given[0].startswith("-") else ("run", given)
    if name not in VERBS:
        raise Mistake(f"unknown command '{name}'", where="order-search", right=nearest(name, VERBS))
    if name == "run":
        return _run(rest, console)
    return OTHERS[name].act(parser_of(name).parse_args(rest), console)


def parser_of(name: str) -> Parser:
    """The parser of a command's words."""
    return run_parser() if name == "run" else OTHERS[name].parser(name)


def _run(rest: Sequence[str], console: Console) -> int:
    flags = vars(run_parser().parse_args(rest))
    from search.study_run import run_study

    return run_study(flags, command=["order-search", "run", *rest], console=console)


def run_parser() -> Parser:
    """The flags of `run`. No flag has a default here: what is not given comes from the files and `settings.py`."""
    verbs = "\n".join(f"  {name:11} {text}" for name, text in VERBS.items())
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
    what.add_argument("--candidates", type=count, help="candidates at most (all; of strategies that learn, 100)")
    what.add_argument("--seeds", type=count, help="root seeds: independent repetitions of each candidate (2)")
    what.add_argument(
        "--seed-control", type=count, metavar="M", help="besides the search M more root seeds of one order (none)"
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
    how.add_argument("--cpus-per-trial", type=count, help="CPU cores and threads of a trial (1)")
    how.add_argument("--max-concurrent", type=count, help="trials at once (as many as fit)")
    how.add_argument("--dashboard", action="store_true", default=None, help="start Ray's dashboard too, on loopback")
    how.add_argument("--tracker", help="log every candidate as a run of mlflow or wandb besides (no)")
    how.add_argument(
        "--store-budget", metavar="BYTES", help="beyond (20GB) weights that nothing waits for are removed (no limit)"
    )
    how.add_argument(
        "--stall-timeout", type=float, metavar="SECONDS", help="end a worker that has done no batch so long (1800)"
    )
    how.add_argument("--grace", type=float, metavar="SECONDS", help="time that a SIGTERM leaves to end a run in (25)")
    how.add_argument(
        "--limit", type=count, help="examples a language and split, training included; stamps results LIMITED"
    )
    how.add_argument("--on-bad-row", help="a malformed row of data: error, or skip: leave it out and go on (error)")
    how.add_argument("--dry-run", action="store_true", help="print the plan and what it costs, train nothing")
    how.add_argument("--debug", action="store_true", help="show tracebacks of mistakes")
    return parser
