"""What a leaderboard says of itself: what was run, what was chosen on what, and what its figures are."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.leaderboard.sheet import OWN
from search.order import Order
from search.robustness import ATTACK, CLAIMED, perturbed
from search.roots import SEED_CONTROL
from trainables.methods import FEW_SHOT, IN_CONTEXT
from trainables.tasks import UNTRAINED, Task

if TYPE_CHECKING:
    import pandas as pd

    from search.settings import Settings
    from search.study import Study


def about_order(study: Study, order: Order) -> dict[str, str]:
    """What a leaderboard says of an order besides its scores; the same columns for every order of a study."""
    said = {"own_training_set": " ".join(study.own_training_set(order))}
    ratings = {task.name: task.difficulty.rating for task in study.intermediate if task.difficulty}
    if ratings:
        said["difficulty"] = ">".join("+".join(ratings.get(t, "?") for t in group) for group in order.groups)
    return said


def describe(study: Study) -> dict[str, Any]:
    """What a leaderboard says of itself: a title, and what its figures are. The same for the same study."""
    settings = study.settings
    stamps = []
    if settings.limit:
        stamps.append(f"LIMITED to {settings.limit} examples a language and split, training included")
    if settings.objective == "target-dev":
        stamps.append("oracle selection: the search saw half of the test items; ranks are made from the other half")
    roots = f"{settings.seeds} root seed{'s' if settings.seeds > 1 else ''}"
    interval = (
        "± is the 95 % t interval over roots" if settings.seeds >= 3
        else f"no interval: at {roots} it would be 9 standard deviations wide or more, or cannot be had"
    )  # fmt: skip
    languages = {name: [c for c in codes if c not in study.apart.get(name, ())] for name, codes in study.grid.items()}
    cells_ = ", ".join(f"{name} in {study.partial.get(name, len(codes))}" for name, codes in languages.items())
    foreign = [task for task in study.tasks.values() if set(task.train_languages) - {"en"}]
    apart = "; ".join(f"{name} in {', '.join(codes)}" for name, codes in study.apart.items() if codes)
    own = sorted({name for order in _listed(study) for name in study.own_training_set(order)})
    notes = [
        *stamps,
        *_tuning(settings),
        *_how(settings),
        "score: mean over targets of the mean over languages, in percent"
        + ("" if foreign else ", trained in English alone"),
        f"languages: {cells_}; {roots}; {interval}",
        *([f"in no mean, in columns extra_ of leaderboard.csv: {apart}"] if apart else []),
        *map(_other_languages, foreign),
        *(
            [f"{OWN} the target's own training set is among the order's tasks: no transfer ({', '.join(own)})"]
            if own
            else []
        ),
        *_sentence_settings(study),
        *_perturbations(settings),
        *_forgetting(study),
        *_seed_control(study),
        f"model {settings.model}; suite {settings.suite}; stages: training stages a root that the order needs alone",
    ]
    return {"title": f"Task orders on {settings.suite}{' (LIMITED)' if settings.limit else ''}", "notes": notes}


def _tuning(settings: Settings) -> list[str]:
    """What was chosen for each order and method before they were compared, and on what."""
    grids = {"learning_rate": {m: len(settings.grid(m)) for m in settings.method}}
    grids["prompt_length"] = {"prompt": len(settings.prompt_length)} if "prompt" in settings.method else {}
    fewer = settings.strategy != "exhaustive" or settings.candidates is not None
    most = "up to " if fewer else ""
    notes, seen = [], "English dev alone" if settings.objective == "en-dev" else "the search half of the test items"
    for name in settings.tuned:
        sizes = {method: size for method, size in grids[name].items() if size > 1}
        if sizes:
            each = str(max(sizes.values())) if len({*grids[name].values()}) == 1 else ", ".join(
                f"{method} {size}" for method, size in grids[name].items())  # fmt: skip
            notes.append(f"{name}: for each order and method the best of {most}{each} on {seen} (tuning.csv)")
    return notes


def _how(settings: Settings) -> list[str]:
    """Whatever of methods and training is not as by default."""
    notes = [f"{m}: demonstrations in the target's language, not zero-shot; ranked apart"
             for m in settings.method if m in FEW_SHOT]  # fmt: skip
    own = settings.methods.model_dump(exclude_defaults=True)
    for method in settings.method:
        for name, value in own.get("icl" if method in IN_CONTEXT else method, {}).items():
            notes.append(f"{method}: {name} {value}")
    if settings.train.heads == "carry":
        notes.append("heads are carried along an order where kind and labels agree")
    if settings.train.robust.kind != "none":
        robust = settings.train.robust
        notes.append(f"robust training: {robust.kind}, epsilon {robust.epsilon:g}, weight {robust.share:g}")
    if settings.train.rows != "all":
        notes.append(f"training examples of an intermediate task: {settings.train.rows}")
    return notes


def _listed(study: Study) -> list[Order]:
    """An order of each task alone: what can be said of tasks without listing a space."""
    return [Order(((task.name,),)) for task in study.intermediate]


def _other_languages(task: Task) -> str:
    """The stamp of training data in other languages than English."""
    codes = ", ".join(task.train_languages)
    if task.translated:
        return f"not zero-shot: {task.name} is trained on translated data in {codes}"
    return f"{task.name}: masked words of unlabelled text in {codes}"


def _sentence_settings(study: Study) -> list[str]:
    """How sentences became vectors, where a target compares them."""
    notes = []
    for target in study.targets:
        if target.kind in UNTRAINED:
            how = f"{target.retrieval.pooling} pooling of layer {target.retrieval.layer}"
            if target.kind == "mining":
                rule = "dev gold" if "dev" in study.splits(target) else "cross-fitted on halves of the gold pairs"
                how += f", {target.mining.score} of {target.mining.neighbours} neighbours, threshold {rule}"
            notes.append(f"{target.name}: {how}")
    return notes


def _perturbations(settings: Settings) -> list[str]:
    names = ", ".join(Path(name).stem for name in settings.perturbations)
    return [f"perturbation suites: {names}"] if names else []


def _seed_control(study: Study) -> list[str]:
    """What was run besides the search."""
    if study.seed_control is None:
        return []
    name, many = study.seed_control.candidate.name, study.seed_control.count
    return [f"seed control: {many} further roots of {name}, in scores from root {SEED_CONTROL:,} on, in no mean"]


def _forgetting(study: Study) -> list[str]:
    """Where learning and forgetting are found, and of which tasks and methods there is none."""
    if not study.settings.forgetting:
        return []
    lacking = [task.name for task in (*study.intermediate, *study.shams) if task.name not in study.followed]
    idle = sorted({arm.method for arm in study.space.arms if not study.carries(arm)})
    notes = ["learning and forgetting: rows of portion forgetting in scores, in no mean"]
    if lacking:
        notes.append(f"no English dev set: {', '.join(lacking)}")
    if idle:
        notes.append(f"not under {', '.join(idle)}, where no stage leaves the next one anything")
    return ["; ".join(notes)]


def robust_notes(scores: pd.DataFrame, portion: str) -> list[str]:
    """What the robust figures of a table are: which edits and attacks there are, and which cells are n/a; nothing where
    nothing was perturbed."""
    rows = perturbed(scores, portion)
    rows = rows[(rows.metric == "robust") & ~rows.apart.astype(bool)]
    if not len(rows):
        return []
    attacks, edits = rows[rows.attack], rows[~rows.attack]
    claimed, stress = edits[edits.keeps.isin(CLAIMED)], edits[edits.keeps == "stress"]
    controls = edits[edits.keeps == "control"]
    most = rows.groupby(["target", "language", "perturbation"]).n.max().max()
    notes = []
    if len(claimed):
        notes += [
            "robust: the mean of the worse of the clean and the edited figure of an example, then means over "
            f"severities, edits, languages and targets, in percent; on at most {most:,} examples of a language, so it "
            "compares with clean_subset in robustness.csv, not with score",
            f"edits that keep form or meaning: {_listed_edits(claimed)}",
            "attackable %: share of these examples that an edit could change so that the model's tokenizer sees it; "
            "robust_attackable_score in leaderboard.csv is over them alone",
        ]
    notes += _lost_cells(rows)
    if len(stress):
        notes.append(f"stress edits, which claim to keep nothing, apart as stress_score: {_listed_edits(stress)}")
    if len(controls):
        notes.append(f"controls, which the tokenizer should undo, in no mean: {_reach(controls)}")
    if len(attacks):
        names = [name.removeprefix(ATTACK) for name in attacks.perturbation.unique()]
        notes.append(f"attacks, apart in columns attacked_ of leaderboard.csv: {', '.join(names)}")
    return notes


def changed_notes(scores: pd.DataFrame, portion: str, names: Collection[str]) -> list[str]:
    """What the figures under some edits or attacks are, where candidates are compared on these, not on clean texts."""
    rows = perturbed(scores, portion)
    rows = rows[(rows.metric == "robust") & ~rows.apart.astype(bool) & rows.perturbation.isin(list(names))]
    most = rows.groupby(["target", "language", "perturbation"]).n.max().max()
    return [
        f"score: the robust score under {_listed_edits(rows)}: the mean of the worse of the clean and the changed "
        f"figure of an example, over severities, then languages and targets; on at most {most:,} examples of a "
        "language; ranks are made from it",
        *_lost_cells(rows),
    ]


def _lost_cells(rows: pd.DataFrame) -> list[str]:
    lost = _listed_cells(rows[rows.keeps != "control"])
    return [f"n/a for all candidates, in no mean ({why}): {cells}" for why, cells in lost.items()]


def _listed_edits(rows: pd.DataFrame) -> str:
    """The edits by the severities they have."""
    found: dict[str, list[str]] = {}
    for name, part in rows.groupby("perturbation", sort=False):
        severities = ", ".join(map(str, sorted(part.severity.unique())))
        found.setdefault(severities, []).append(str(name))
    return "; ".join(f"{', '.join(names)} at severity {severities}" for severities, names in found.items())


def _listed_cells(rows: pd.DataFrame) -> dict[str, str]:
    """The n/a cells by their reason; targets are named where the edit does count in that language of another one."""
    found: dict[str, list[str]] = {}
    for (reason, name), part in rows[rows.reason != ""].groupby(["reason", "perturbation"], sort=False):
        codes = []
        for code, own in part.groupby("language"):
            alike = rows[(rows.perturbation == name) & (rows.language == code)].target.nunique()
            targets = sorted(own.target.unique())
            codes.append(str(code) + (f" ({', '.join(targets)})" if len(targets) < alike else ""))
        found.setdefault(str(reason), []).append(f"{name} in {', '.join(codes)}")
    return {reason: "; ".join(parts) for reason, parts in found.items()}


def _reach(rows: pd.DataFrame) -> str:
    """How much of the text each control changed for the tokenizer."""
    shares = rows.groupby("perturbation", sort=False).attackability.mean()
    return ", ".join(f"{name} ({share:.1%} of examples changed)" for name, share in shares.items())
