"""How long does one `ask` of the Gaussian process take, and in how much memory?

    OMP_NUM_THREADS=1 python -m benchmarks.gp_ask [--dry]

All 13,700 ordered subsets of 7 tasks, 200 observations to begin with (baselines and random orders; values of the
transfer model in strategies/transfer.py with noise), then ten batches, of one candidate and of four. The `ask` that
begins a batch fits the process anew to all that was told and looks at every candidate; its time is the process's CPU
time. One batch before the ten is not counted: it makes the features of the whole space. Memory is the largest the
process had, with its libraries. `--dry` prints without appending to RESULTS.md.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import sys
import time

import numpy as np

from benchmarks.results import record
from benchmarks.strategies.transfer import transfer
from search.candidate import Arm, Candidate
from search.order import OrderSpace
from search.space import Space
from search.strategies.gp import GP

TASKS, OBSERVED, BATCHES, NOISE = 7, 200, 10, 0.3


def seconds(batch: int) -> list[float]:
    """CPU seconds of each batch's first `ask`, after a warm-up."""
    space = Space(OrderSpace([str(task) for task in range(TASKS)]), [Arm("full", 1e-3)])
    model, generator = transfer(TASKS, 0), random.Random("noise")
    strategy = GP(space, candidates=space.size, batch=batch, initial=OBSERVED - space.baselines)

    def play(count: int) -> None:
        for candidate in [first] + [_asked(strategy) for _ in range(count - 1)]:
            order = np.array([[int(task) for task in candidate.order.tasks]], dtype=int)
            strategy.tell(candidate, float(model.values(order)[0]) + generator.gauss(0, NOISE))

    found = []
    first = _asked(strategy)
    play(OBSERVED)
    for _ in range(BATCHES + 1):
        before = time.process_time()
        first = _asked(strategy)
        found.append(time.process_time() - before)
        play(batch)
    return found[1:]


def _asked(strategy: GP) -> Candidate:
    candidate = strategy.ask()
    if candidate is None:
        raise ValueError("the strategy proposed nothing")
    return candidate


def main(arguments: list[str]) -> None:
    """Print and record the times and the process's largest memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="only print")
    dry = parser.parse_args(arguments).dry
    lines = []
    for batch in (1, 4):
        found = seconds(batch)
        lines.append(
            f"- batch of {batch}: median {statistics.median(found):.2f} s of CPU time, from {min(found):.2f} to "
            f"{max(found):.2f}; {BATCHES} batches, {OBSERVED + batch} to {OBSERVED + batch * BATCHES} observations"
        )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    lines.append(f"- largest resident memory of the process, libraries included: {memory:.2f} GiB")
    if dry:
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        record("one ask of gp", lines, "OMP_NUM_THREADS=1 python -m benchmarks.gp_ask")


if __name__ == "__main__":
    main(sys.argv[1:])
