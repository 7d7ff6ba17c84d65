"""What a decoder gives in context on the mini suite's targets, with English demonstrations and without any.

python -m benchmarks.in_context [MODEL] [SHOTS …]
"""

from __future__ import annotations

import sys
from statistics import mean

import torch

from benchmarks.results import record
from trainables.data import DataSource
from trainables.decoder import Decoder
from trainables.evaluate import EvaluationSet
from trainables.fingerprint import MICRO_DECODER
from trainables.icl import Demonstrations, evaluate_icl
from trainables.mini.grammar import language_codes
from trainables.tasks import load_task
from trainables.templates import IclSettings

TARGETS = {"mini-xnli": "a third", "mini-pawsx": "a half", "mini-xquad": "0"}
"""Targets and the score of a guess."""


def main(path: str, shots: list[int]) -> None:
    """Print and record English dev, the mean and the least of the other languages, and the draws on English dev."""
    torch.set_num_threads(1)
    model, data, lines = Decoder(path), DataSource(), []
    for name, guess in TARGETS.items():
        task = load_task(name, "")
        training = load_task(str(task.trained_on), "")
        sets = [EvaluationSet("dev", "en", data.load(training, "dev", ["en"])["en"], [])]
        sets += [EvaluationSet("test", code, rows, []) for code, rows in data.load(task, "test").items()]
        for count in shots:
            settings = IclSettings(shots=count)
            shown = Demonstrations.of(data, task, training, language_codes(), settings)
            rows, _ = evaluate_icl(model, task, sets, shown, settings, seed=0)
            dev = [
                row["value"] for row in rows if row["portion"] == "dev" and row["metric"].startswith(rows[0]["metric"])
            ]
            found = {row["language"]: row["value"] for row in rows if row["main"] and row["portion"] == "test"}
            others = {code: value for code, value in found.items() if code != "en"}
            least = min(others, key=others.__getitem__)
            draws = f" (draws {', '.join(f'{value:.3f}' for value in dev[1:])})" if dev[1:] else ""
            lines.append(
                f"- {name}, {count} demonstrations: English dev {dev[0]:.3f}{draws}, other languages "
                f"{mean(others.values()):.3f}, the least {others[least]:.3f} ({least}); a guess has {guess}"
            )
            sys.stdout.write(f"{lines[-1]}\n    " + " ".join(f"{k} {v:.2f}" for k, v in found.items()) + "\n")
    if path == str(MICRO_DECODER):
        record("in-context learning of the micro decoder", lines, "python -m benchmarks.in_context")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(MICRO_DECODER), [int(n) for n in sys.argv[2:]] or [0, 4])
