"""Are the tuning methods tuned? Each method's English gain over chance, as a share of full fine-tuning's.

python -m benchmarks.methods

Targets trained alone in English, at the budget below; the learning rate of each method is the best of an equal grid on
English dev, the score is on English test. The targets are those where full fine-tuning and the probe are far apart.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import mean

from benchmarks.alone import bench_of, scores_of, study_of
from benchmarks.results import record
from search.difficulty import majority_score
from search.study import Study
from trainables.bench import Bench

SEEDS = (0,)
TARGETS = ("mini-swag", "mini-squad")
METHODS = ("full", "adapter", "lora", "prompt", "probe")
STEPS = 480
FACTORS = (0.3, 1.0)


def main() -> None:
    """Print and record a line a target and method, and the means over targets."""
    lines = [f"{STEPS} steps of 16; the better of {len(FACTORS)} learning rates on English dev; roots {SEEDS}"]
    shares: dict[str, list[float]] = {method: [] for method in METHODS}
    with tempfile.TemporaryDirectory() as store:
        study = study_of(
            TARGETS, Path(store), method=list(METHODS), learning_rate_factors=list(FACTORS), languages=["en"],
            methods={"full": {"freeze_embeddings": False, "freeze_layers": 0}}, train={"target_steps": STEPS},
        )  # fmt: skip
        bench = bench_of(study)
        for target in TARGETS:
            task = next(one for one in study.targets if one.name == target)
            chance = majority_score(task, study.data.load(task, "test", ["en"])["en"])
            found = {method: _best(bench, study, method, target) for method in METHODS}
            full = found["full"] - chance
            for method, value in found.items():
                share = (value - chance) / full
                shares[method].append(share)
                lines.append(f"- {target} {method}: English test {value:.3f}, {share:.0%} of full's over {chance:.2f}")
                sys.stdout.write(f"{lines[-1]}\n")
    lines += [f"- mean of the targets, {method}: {mean(found):.0%}" for method, found in shares.items()]
    record("gains of the tuning methods", lines, "python -m benchmarks.methods")


def _best(bench: Bench, study: Study, method: str, target: str) -> float:
    """The English test score, mean over roots, at the learning rate that is best on English dev."""
    tried = []
    for arm in study.space.arms:
        if arm.method == method:
            found = [scores_of(bench, study, arm, target, seed) for seed in SEEDS]
            tried.append((mean(one["dev"] for one in found), mean(one["en"] for one in found)))
    return max(tried)[1]


if __name__ == "__main__":
    main()
