"""How long does it take to prepare suites: fifteen languages of XNLI × 1,000 examples × eight edits?

    python -m benchmarks.suites --data-dir DIR [--workers 2] [--languages en,th] [--dry]

Everything that a study does once for a task: reading examples and lexicons, vocabularies, what is fixed, the edits at
one severity and at five, and the stored bytes. Processes share nothing and take a language at a time, as workers do;
each of the two lines begins anew, without what the other has cached. Beside the seconds stands a digest of all that
was made: a faster way must leave it as it is. `--profile` prints where one process spends its time instead.
"""

from __future__ import annotations

import argparse
import cProfile
import gzip
import hashlib
import multiprocessing
import pstats
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

from benchmarks.results import record
from perturb.edits.base import SEVERITIES
from perturb.suite import SuiteSettings, prepare
from trainables.data import DataSource
from trainables.edited import applies, item_of, vocabulary
from trainables.perturbations import Lookup
from trainables.tasks import load_task

EDITS = [
    "keyboard", "insertion", "deletion", "transposition", "diacritics", "lookalikes", "romanisation", "code-mixing",
]  # fmt: skip

LIMIT, TARGET = 1000, 90.0


class Made(NamedTuple):
    """One language: seconds of the processor by edit (and for `items`), edited texts, and a digest of them."""

    language: str
    seconds: dict[str, float]
    texts: int
    digest: str


def main(arguments: list[str]) -> None:
    """Print and record the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="folder of data sets, with xnli and bilingual lexicons")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--languages", help="separated by commas (XNLI's fifteen)")
    parser.add_argument("--edits", default=",".join(EDITS), help="separated by commas (eight)")
    parser.add_argument("--dry", action="store_true", help="only print")
    parser.add_argument("--profile", action="store_true", help="one process under cProfile, at five severities")
    options = parser.parse_args(arguments)
    languages = options.languages.split(",") if options.languages else load_task("xnli", "--task").languages
    edits = options.edits.split(",")
    if options.profile:
        profile(options.data_dir, edits, languages)
        return
    lines = []
    for severities in ([3], list(SEVERITIES)):
        lines += report(options.data_dir, edits, severities, languages, options.workers)
    if options.dry:
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        record("preparing suites", lines, f"python -m benchmarks.suites --data-dir DIR --workers {options.workers}")


def report(data: str, edits: list[str], severities: list[int], languages: Sequence[str], workers: int) -> Iterator[str]:
    """A line of seconds in all, and one of where they went."""
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        made = list(pool.imap_unordered(partial(prepared, data, edits, severities), languages, chunksize=1))
    wall = time.perf_counter() - began
    made.sort(key=lambda one: languages.index(one.language))
    spent: dict[str, float] = {}
    for one in made:
        for name, seconds in one.seconds.items():
            spent[name] = spent.get(name, 0.0) + seconds
    cpu, texts = sum(spent.values()), sum(one.texts for one in made)
    digest = hashlib.sha256("".join(one.digest for one in made).encode()).hexdigest()[:16]
    yield (
        f"- {len(languages)} languages, {len(edits)} edits, {len(severities)} severities, {workers} processes: "
        f"{wall:.1f} s ({cpu:.1f} s of CPU time), target below {TARGET:.0f} s; {texts:,} edited texts, digest {digest}"
    )
    slow = sorted(made, key=lambda one: -sum(one.seconds.values()))[:4]
    yield "    CPU seconds: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in spent.items())
    yield "    the slowest: " + ", ".join(f"{one.language} {sum(one.seconds.values()):.1f}" for one in slow)


def prepared(data: str, edits: list[str], severities: list[int], language: str) -> Made:
    """A language's suite, as `trainables.perturbed.Suites` makes it."""
    clock = time.process_time
    began, seconds, texts, digest = clock(), {}, 0, hashlib.sha256()
    source, lookup = reading(data, tuple(edits))
    task = load_task("xnli", "--task")
    examples = source.load(task, "test", [language])[language]
    attested = vocabulary(task, examples)
    items = [item_of(task, example, "all", attested) for example in examples]
    found = [edit for edit in lookup.made(lookup.of(task, examples)) if applies(edit, task, language)]
    seconds["items"] = clock() - began
    for edit in found:
        began = clock()
        made = prepare([edit], items, severities, 0)
        stored = made.to_bytes()
        seconds[edit.name] = clock() - began
        digest.update(gzip.decompress(stored))
        texts += sum(len(changes) for rows in made.changes.values() for changes in rows)
    return Made(language, seconds, texts, digest.hexdigest())


@cache
def reading(data: str, edits: tuple[str, ...]) -> tuple[DataSource, Lookup]:
    """What a process reads once."""
    return DataSource(data, LIMIT), Lookup(SuiteSettings(name="benchmark", edits=list(edits)), data)


def profile(data: str, edits: list[str], languages: Sequence[str]) -> None:
    """Where the time goes, function by function."""
    found = cProfile.Profile()
    found.enable()
    for language in languages:
        prepared(data, edits, list(SEVERITIES), language)
    found.disable()
    pstats.Stats(found, stream=sys.stdout).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main(sys.argv[1:])
