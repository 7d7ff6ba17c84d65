"""What the tests of perturbed scores share: tasks, their sets, a model with a head, and suites."""

from __future__ import annotations

import torch

from perturb.suite import SuiteSettings
from trainables.data import DataSource
from trainables.evaluate import sets_of
from trainables.kinds.forms import kind_of
from trainables.perturbations import Lookup
from trainables.perturbed import Suites
from trainables.store import Store
from trainables.tasks import load_task

TASKS = {
    "classification": "mini-xnli", "tagging": "mini-pos", "span": "mini-xquad", "choice": "mini-swag",
    "retrieval": "mini-tatoeba", "mining": "mini-bucc",
}  # fmt: skip

LANGUAGES = {"classification": ["en", "ru"], "tagging": ["de", "th"], "span": ["en", "hi"], "choice": ["tr", "zh"],
             "retrieval": ["de", "ru"], "mining": ["es"]}  # fmt: skip

EDITS = ["keyboard", "deletion", "casing"]


def task_of(kind, **changed):
    return load_task(TASKS[kind], "").model_copy(update=changed)


def head_of(model, task, seed=4):
    """A head drawn widely: without training it predicts several labels."""
    torch.manual_seed(seed)
    head = kind_of(task, model).head(task, model)
    for weight in head.parameters() if head is not None else ():
        torch.nn.init.normal_(weight, std=1.0 if weight.dim() > 1 else 0.0)
    return head


def portions_of(task, languages, limit=16, dev=False):
    """Examples of the test sets; of mining gold pairs for thresholds, else with `dev` English ones."""
    data = DataSource(None, limit, "error")
    found = {("test", code): rows for code, rows in data.load(task, "test", languages).items()}
    if task.kind == "mining":
        found |= {("threshold", code): rows for code, rows in data.load(task, "dev", languages).items()}
    elif dev:
        found["dev", "en"] = data.load(task, "dev", ["en"])["en"]
    return found


def sets_for(model, kind, limit=16, dev=False, **changed):
    task = task_of(kind, **changed)
    return task, sets_of(task, portions_of(task, LANGUAGES[kind], limit, dev), model)


def settings_of(**changed):
    return SuiteSettings(**{"name": "s", "edits": EDITS, "severities": [2, 5], "examples": 10, **changed})


def suites_in(folder, **changed):
    settings = settings_of(**changed)
    return Suites(settings, Lookup(settings, None), Store(str(folder)))


def by_cell(rows, **wanted):
    """Rows that hold what is wanted, by language, perturbation, severity."""
    kept = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    found = {}
    for row in kept:
        found.setdefault((row["language"], row["perturbation"], row["severity"]), []).append(row)
    return found
