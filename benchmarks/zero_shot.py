"""What an encoder gives zero-shot on the mini suite's targets: each trained alone in English, at the default budget.

python -m benchmarks.zero_shot [MODEL]
"""

from __future__ import annotations

import sys
import tempfile
from statistics import mean

import torch

from benchmarks.results import record
from trainables.bench import Bench, Workplace
from trainables.config import configs_dir, names, read_yaml
from trainables.fingerprint import MICRO
from trainables.mini.grammar import language_codes
from trainables.stage import Stage
from trainables.tasks import load_task

SEEDS = (0, 1, 2)


def main(model: str) -> None:
    """Print and record English dev, the mean and the least of the other languages, over the seeds."""
    torch.set_num_threads(1)
    suite = read_yaml(configs_dir() / "suites" / "mini-full.yaml")["settings"]
    budget = suite["train"]
    settings = {k: budget[k] for k in ("weight_decay", "warmup", "batch_size")}
    settings["learning_rate"] = suite["learning_rate"]
    targets = ["mini-xnli", "mini-pawsx", "mini-pos", "mini-panx", "mini-xquad", "mini-tatoeba", "mini-bucc"]
    targets = [name for name in targets if name in names("tasks")]
    tasks = {name: load_task(name, "") for name in targets}
    named = dict(tasks)
    for task in tasks.values():
        if task.trained_on and task.trained_on not in named:
            named[task.trained_on] = load_task(task.trained_on, "")
    lines = []
    with tempfile.TemporaryDirectory() as store:
        content = {name: task.model_dump(mode="json") for name, task in named.items()}
        bench = Bench(Workplace(store, model, content, {key: list(language_codes()) for key in named}))
        for name, task in tasks.items():
            own = {"steps": budget["target_steps"], **settings, **budget["targets"].get(name, {})}
            found = [_scores(bench, name, task.trained_on, own, seed) for seed in SEEDS]
            dev = [one["dev"] for one in found if "dev" in one]
            others = [mean(v for k, v in one.items() if k not in ("dev", "en")) for one in found]
            least = min((v, k) for one in found for k, v in one.items() if k not in ("dev", "en"))
            shown = f"English dev {mean(dev):.3f}, " if dev else ""
            lines.append(f"- {name}: {shown}other languages {mean(others):.3f}, the least {least[0]:.3f} ({least[1]})")
            sys.stdout.write(f"{lines[-1]}\n")
            sys.stdout.write("    " + " ".join(f"{k} {mean(o[k] for o in found):.2f}" for k in found[0]) + "\n")
    if model == str(MICRO):
        record("zero-shot of the micro encoder", lines, "python -m benchmarks.zero_shot")


def _scores(bench: Bench, target: str, trained_on: str | None, own: dict[str, float], seed: int) -> dict[str, float]:
    """The main metric by language, and of English dev as `dev`."""
    parent = None
    if trained_on:
        settings = {key: value for key, value in own.items() if key != "steps"}
        train = Stage("train", None, (trained_on,), ("d",), "m", "full", settings, int(own["steps"]), seed)
        bench.run(train)
        parent = train.key
    score = Stage("score", parent, (target,), ("d",), "m", "full")
    bench.run(score)
    rows = [row for row in (bench.store.record(score.key) or {})["scores"] if row["main"]]
    return {
        "dev" if r["portion"] == "dev" else r["language"]: r["value"] for r in rows if r["portion"] in ("dev", "test")
    }


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(MICRO))
