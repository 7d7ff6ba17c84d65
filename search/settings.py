"""Every setting, its default and its check. Precedence: default < suite < preset < space file < flag."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ByteSize, Field, field_validator, model_validator

from search.candidate import Arm
from search.goals import Goal
from search.pruning import PruningSettings
from search.roots import MOST_ROOTS
from search.strategies import STRATEGIES
from search.strategies.evolution import EvolutionSettings
from search.strategies.gp import GPSettings
from search.strategies.halving import HalvingSettings
from search.strategies.plackett_luce import PlackettLuceSettings
from search.strategies.tpe import TPESettings
from trainables.config import Config, build, checked_path, find, place_of, read_yaml, yaml_of
from trainables.errors import Mistake, nearest
from trainables.methods import IN_CONTEXT, METHODS
from trainables.methods.settings import MethodSettings
from trainables.redaction import LEFT_OUT
from trainables.robust_settings import Robust
from trainables.untrusted import DEEPEST

Nuisance = Literal["learning_rate", "prompt_length"]
"""Hyperparameters that a study may tune for each order and method before it compares them."""

LISTS = (
    "intermediate", "targets", "languages", "method", "learning_rate", "learning_rate_factors", "prompt_length",
    "tuned", "representations", "perturbations", "goals", "first",
)  # fmt: skip
"""Settings that are lists: a single value stands for a list of one."""


PAIRED = {"methods": "full,adapter", "complexity": "full,adapter", "icl": "icl,full"}
"""Answers that compare methods, and methods that would do."""


class OrderSettings(Config):
    """Which orders are candidates: ordered subsets, permutations, sequences of groups, all tasks in one group beside
    each alone (joint), or an explicit list."""

    kind: Literal["subsets", "permutations", "groups", "joint", "explicit"] = "subsets"
    max_length: int | None = Field(None, ge=1, description="groups an order has at most")
    max_group: int | None = Field(None, ge=1, description="tasks a group has at most (kind: groups)")
    explicit: list[str] = Field(default_factory=list, description="the orders of kind: explicit")

    @model_validator(mode="after")
    def _listed(self) -> Self:
        if (self.kind == "explicit") != bool(self.explicit):
            raise ValueError("kind: explicit and a list `explicit` of orders go together")
        return self


class TargetTraining(Config):
    """What one target's own stage has of its own; what is left out is as for all."""

    steps: int | None = Field(None, ge=1)
    epochs: float | None = Field(None, gt=0)
    learning_rate: float | None = Field(None, gt=0, lt=1, description="instead of the candidate's")
    learning_rate_scale: dict[str, Annotated[float, Field(gt=0, le=100)]] = Field(
        default_factory=dict, description="by method: times the candidate's (without learning_rate)"
    )
    batch_size: int | None = Field(None, ge=1)
    warmup: float | None = Field(None, ge=0)
    weight_decay: float | None = Field(None, ge=0)


class TrainSettings(Config):
    """The budget and optimizer of a training stage."""

    steps: int = Field(100, ge=1, description="optimizer steps of an intermediate stage")
    epochs: float | None = Field(None, gt=0, description="instead of steps: times through its training examples")
    target_steps: int = Field(100, ge=1, description="optimizer steps of a target's own stage")
    target_epochs: float | None = Field(None, gt=0, description="instead of target_steps")
    batch_size: int = Field(32, ge=1, description="examples a step")
    warmup: float = Field(10, ge=0, description="steps (or, below 1, their share) until the learning rate is reached")
    weight_decay: float = Field(0.01, ge=0)
    targets: dict[str, TargetTraining] = Field(default_factory=dict, description="by target: its own stage's settings")
    sampling: Literal["proportional", "capped", "uniform", "temperature"] = Field(
        "proportional", description="how a group's tasks are drawn: by size, by size up to `cap`, alike, by size^(1/T)"
    )
    cap: int | None = Field(None, ge=1, description="examples a task counts with at most (sampling: capped)")
    temperature: float = Field(2.0, ge=1, description="T of sampling: temperature")
    rows: Literal["all", "equal"] | Annotated[int, Field(ge=1)] = Field(
        "all", description="training examples of an intermediate task; equal: as many as the smallest has"
    )
    heads: Literal["new", "carry"] = Field("new", description="along an order; carry: where kind and labels agree")
    robust: Robust = Field(Robust.model_validate({}), description="train on perturbed word embeddings")

    @model_validator(mode="after")
    def _capped(self) -> Self:
        if (self.sampling == "capped") != (self.cap is not None):
            raise ValueError("sampling: capped and a `cap` go together")
        return self


class FinalsSettings(Config):
    """The finals of a study with `confidence`: the best few again on fresh root seeds."""

    finalists: int = Field(5, ge=1, description="candidates that are run again, by posterior mean")
    tolerance: float = Field(0.005, ge=0, lt=1, description="what is no worse than the best by more than this will do")
    least: int = Field(3, ge=2, description="fresh root seeds of every finalist")
    most: int = Field(20, ge=2, le=MOST_ROOTS, description="fresh root seeds at most")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"least <= most must hold, but got {self.least} and {self.most}")
        return self


class PrimarySettings(Config):
    """The one outcome and contrast that a study is planned for; written to the manifest before it begins."""

    outcome: str = Field("score", description="score, robust_score, gap_to_english, target:NAME, … (docs/analysis.md)")
    contrast: Literal["order", "tasks", "methods", "complexity", "icl"] | None = Field(
        None, description="what is tested of it (default: by the space's answer)"
    )


class Settings(Config):
    """A study's settings. `space` names where they came from; everything else may stand in a space file."""

    space: str = "orders"
    preset: str | None = Field(None, description="published settings: a name of configs/presets or a file")
    question: str = Field("", description="what the space asks, for people")
    suite: str = Field("mini", description="the tasks to choose from: a name of configs/suites or a file")
    intermediate: list[str] = Field(default_factory=list, description="intermediate tasks (default: the suite's)")
    targets: list[str] = Field(default_factory=list, description="target tasks (default: the suite's)")
    languages: list[str] = Field(default_factory=list, description="test languages (default: those the tasks list)")
    orders: OrderSettings = Field(default_factory=lambda: OrderSettings.model_validate({}))
    model: str = Field("micro", description="micro, a folder, or a hub id")
    method: list[str] = Field(default_factory=lambda: ["full"], description="tuning methods")
    methods: MethodSettings = Field(MethodSettings.model_validate({}), description="settings of the methods")
    learning_rate: dict[str, list[float]] | list[float] = Field(
        default_factory=lambda: [1e-3], description="learning rates, of all methods or by method"
    )
    prompt_length: list[Annotated[int, Field(ge=0, le=4096)]] = Field(
        default_factory=lambda: [16], min_length=1, description="vectors of a prompt (method: prompt); 0 is no prompt"
    )
    learning_rate_factors: list[Annotated[float, Field(gt=0, le=1000)]] = Field(
        default_factory=lambda: [1.0], min_length=1, description="each learning rate is tried times each of these"
    )
    tuned: list[Nuisance] = Field(
        default_factory=lambda: list[Nuisance](["learning_rate"]),
        description="chosen on English dev for each order and method",
    )
    max_length: dict[str, Annotated[int, Field(ge=8, le=512)]] = Field(
        default_factory=dict,
        description="by task: tokens, instead of its file's; of a training set, where targets share one, its own",
    )
    controls: bool = Field(False, description="for each length of order one of as many sham stages")
    train: TrainSettings = Field(default_factory=lambda: TrainSettings.model_validate({}))
    strategy: str = Field("exhaustive", description="who proposes candidates")
    halving: HalvingSettings = Field(HalvingSettings.model_validate({}), description="of strategy: halving")
    evolution: EvolutionSettings = Field(EvolutionSettings.model_validate({}), description="of strategy: evolution")
    plackett_luce: PlackettLuceSettings = Field(
        PlackettLuceSettings.model_validate({}), description="of strategy: plackett-luce"
    )
    gp: GPSettings = Field(GPSettings.model_validate({}), description="of strategy: gp")
    tpe: TPESettings = Field(TPESettings.model_validate({}), description="of strategy: tpe")
    perturbations: list[str] = Field(
        default_factory=list, description="perturbation suites: names of configs/perturbations or files"
    )
    perturbed_examples: int | None = Field(
        None, ge=1, description="examples of a language that suites and attacks change at most (default: the suite's)"
    )
    goals: list[Goal] = Field(
        default_factory=lambda: list[Goal](["score"]), min_length=1, description="what a strategy is told to maximise"
    )
    pruning: PruningSettings = Field(
        PruningSettings.model_validate({}), description="whether hopeless candidates get all root seeds"
    )
    confidence: float | None = Field(
        None, gt=0, lt=1, description="run the best few on fresh root seeds until one is named with this probability"
    )
    finals: FinalsSettings = Field(FinalsSettings.model_validate({}), description="of confidence")
    representations: list[str] = Field(
        default_factory=list, description="parallel tasks whose translations are compared after every stage"
    )
    forgetting: bool = Field(
        False, description="after each stage of an order score all its tasks so far on their English dev sets"
    )
    answer: Literal["orders", "best", "methods", "complexity", "icl"] = Field(
        "orders", description="how the space's question is answered below the leaderboard"
    )
    first: list[str] = Field(
        default_factory=list, description="orders that every strategy begins with, after baselines"
    )
    search_seed: int = Field(0, ge=0, description="of what a strategy draws; root seeds are other seeds")
    candidates: int | None = Field(None, ge=1, description="candidates at most (default: what the strategy has)")
    seeds: int = Field(2, ge=1, le=MOST_ROOTS, description="root seeds: independent repetitions of every candidate")
    seed_control: int | None = Field(
        None, ge=2, le=MOST_ROOTS, description="besides the search so many further root seeds of one order"
    )
    seed_control_order: str | None = Field(
        None, description="that order (default: all intermediate tasks as listed, as many as the space has in a row)"
    )
    objective: Literal["en-dev", "target-dev"] = Field("en-dev", description="what the search is told")
    data_dir: str | None = Field(None, description="folder of data sets")
    out: str = Field("runs", description="folder that run folders are made in")
    store: str | None = Field(None, description="folder or URL of the stages' outputs (default: OUT/store)")
    address: str | None = Field(None, description="a Ray cluster (default: this machine alone)")
    gpus_per_trial: float = Field(0, ge=0)
    cpus_per_trial: int = Field(1, ge=1)
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of forward passes; bfloat16 is mixed precision, for GPUs since Ampere"
    )
    max_concurrent: int | None = Field(None, ge=1, description="trials at once (default: as many as fit)")
    resources_per_trial: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="custom resources of Ray that a trial asks for, to choose its nodes"
    )
    store_budget: ByteSize | None = Field(
        None,
        gt=0,
        description="bytes (20GB): beyond, weights that nothing waits for are removed, and made again if needed",
    )
    node_cache: ByteSize = Field(
        ByteSize(4 * 10**9),
        ge=0,
        description="bytes of recent weights that a node keeps for its workers, and a quarter as much of encoded texts",
    )
    fuse: Literal["auto", "on", "off"] = Field(
        "auto", description="train stages of one frozen encoder together where that is faster: auto on GPUs alone"
    )
    stall_timeout: float = Field(1800, ge=1, description="seconds without a batch after which a worker is ended")
    grace: float = Field(25, ge=0, description="seconds after a SIGTERM within which the run ends")
    dashboard: bool = Field(False, description="start Ray's dashboard with a Ray of this run's own, on loopback")
    tracker: Literal["mlflow", "wandb"] | None = Field(None, description="where candidates are logged as runs besides")
    limit: int | None = Field(None, ge=1, description="examples a language and split, training included")
    on_bad_row: Literal["error", "skip"] = Field("error", description="what becomes of a row of data that is malformed")
    primary: PrimarySettings = Field(
        PrimarySettings.model_validate({}), description="the outcome and contrast that are fixed before the run"
    )

    @field_validator(*LISTS, mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """A single value stands for a list of one; a flag's text is cut at commas."""
        if isinstance(value, dict):
            return {name: cls._listed(rates) for name, rates in value.items()}
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return [value] if isinstance(value, int | float) else value

    @field_validator("fuse", mode="before")
    @classmethod
    def _switched(cls, given: Any) -> Any:
        """YAML reads the words on and off as true and false."""
        return ("off", "on")[given] if isinstance(given, bool) else given

    @field_validator("learning_rate")
    @classmethod
    def _positive(cls, value: Any) -> Any:
        for rate in [rate for rates in value.values() for rate in rates] if isinstance(value, dict) else value:
            if not (math.isfinite(rate) and 0 < rate < 1):
                raise ValueError(f"a learning rate lies between 0 and 1, but {rate:g} was given")
        return value

    @field_validator(*LISTS)
    @classmethod
    def _distinct(cls, value: Any) -> Any:
        for one in value.values() if isinstance(value, dict) else [value]:
            for item in one:
                if one.count(item) > 1:
                    raise ValueError(f"'{item}' is named twice")
        return value

    @field_validator("data_dir", "out", "store")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        return None if value is None else checked_path(value)

    def rates(self, method: str) -> list[float]:
        """The learning rates of a method. In context they are those of the intermediate stages, which are `full`."""
        if not isinstance(self.learning_rate, dict):
            return self.learning_rate
        own = self.learning_rate.get(method)
        return own or (self.learning_rate.get("full") if method in IN_CONTEXT else None) or []

    def grid(self, method: str) -> list[float]:
        """The learning rates that a method is tried at."""
        found = [float(f"{rate * factor:.6g}") for rate in self.rates(method) for factor in self.learning_rate_factors]
        return list(dict.fromkeys(found))

    @property
    def arms(self) -> list[Arm]:
        """Methods × learning rates × (of prompts) lengths: what a candidate is besides its order."""
        return [
            Arm(method, rate, length)
            for method in self.method
            for length in (self.prompt_length if method == "prompt" else [None])
            for rate in self.grid(method)
        ]

    @property
    def pair(self) -> tuple[str, str] | None:
        """The two methods that an answer compares, the baseline second; None where the study has no such two."""
        trained = [method for method in self.method if method not in IN_CONTEXT]
        trained.sort(key=lambda method: method == "full")
        if self.answer == "icl":
            return ("icl", trained[-1]) if trained and "icl" in self.method else None
        return (trained[0], trained[-1]) if len(trained) > 1 else None

    @property
    def store_url(self) -> str:
        """Where the store is; a local path is absolute, since workers have other working directories."""
        url = self.store or str(Path(self.out).expanduser() / "store")
        return url if "://" in url else str(Path(url).expanduser().resolve())


class Suite(Config):
    """A suite: intermediate and target tasks that belong together, and settings that suit them."""

    name: str
    question: str = ""
    intermediate: list[str]
    targets: list[str]
    settings: dict[str, Any] = Field(default_factory=dict)


def load_suite(name: str, flag: str = "--suite") -> tuple[Suite, str]:
    """A suite by name or path, and the file it stands in."""
    path = find("suites", name, flag)
    return build(Suite, read_yaml(path), str(path)), str(path)


def load_settings(
    flags: Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> tuple[Settings, dict[str, str]]:
    """The settings of a command: suite, preset, space file, `overrides` (`--set`), then flags that were given.

    With them, for each key that was set (`train`, `train.steps`), the flag or the file that set it. Raises Mistake, or
    Mistakes with all errors at once, each with the flag or the file and key that is wrong.
    """
    space = "orders" if flags.get("space") is None else str(flags["space"])
    path = find("spaces", space, "--space")
    from_file = read_yaml(path)
    named = [("--suite", flags), ("--set", overrides or {}), (str(path), from_file), ("--suite", {"suite": "mini"})]
    source, suite_name = next((source, layer["suite"]) for source, layer in named if layer.get("suite") is not None)
    if not isinstance(suite_name, str):
        raise Mistake(f"suite: should be a name (given: {suite_name!r})", where=place_of(source, "suite"))
    suite, suite_file = load_suite(suite_name, place_of(source, "suite"))
    content: dict[str, Any] = {}
    where: dict[str, str] = {}
    layers: list[tuple[Mapping[str, Any], str]] = [
        ({"intermediate": suite.intermediate, "targets": suite.targets, **suite.settings}, suite_file),
        *_preset(named),
        (from_file, str(path)),
        (overrides or {}, "--set"),
        ({key: value for key, value in flags.items() if value is not None}, ""),
    ]
    for layer, source in layers:
        for key, value in ((str(key), value) for key, value in layer.items()):
            where[key] = source or f"--{key.replace('_', '-')}"
            if source and key == "space":
                raise Mistake("a space is named by --space alone", where=place_of(source, key))
            if isinstance(value, dict):
                where |= {f"{key}.{inner}": where[key] for inner in value}
                if key == "train":
                    value = _budgets(value)
                value = _merged(content[key], value) if isinstance(content.get(key), dict) else value
            content[key] = value
    settings = build(Settings, {**content, "space": space, "suite": suite_name}, where)
    if settings.store and LEFT_OUT in settings.store:
        what = "credentials were left out of the store's URL when it was written down"
        raise Mistake(what, where=place_of(where["store"], "store"), right="--store with the whole URL")
    _check_names(settings, where)
    return settings, where


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Both, the new one's values first, section by section."""
    inner = {k: _merged(old[k], v) for k, v in new.items() if isinstance(v, dict) and isinstance(old.get(k), dict)}
    return {**old, **new, **inner}


def _budgets(train: Mapping[str, Any]) -> dict[str, Any]:
    """A layer's budget in steps takes the place of one in epochs that an earlier layer gives."""
    found = dict(train)
    for steps, epochs in (("steps", "epochs"), ("target_steps", "target_epochs")):
        if steps in found:
            found.setdefault(epochs, None)
    targets = found.get("targets")
    if isinstance(targets, dict):
        found["targets"] = {k: _budgets(v) if isinstance(v, dict) else v for k, v in targets.items()}
    return found


def _preset(named: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[Mapping[str, Any], str]]:
    """The published settings that a flag or a file names."""
    source, name = next(((s, layer["preset"]) for s, layer in named if layer.get("preset") is not None), ("", None))
    if name is None:
        return []
    path = find("presets", str(name), "--preset" if source == "--suite" else place_of(source, "preset"))
    content = read_yaml(path)
    if "preset" in content:
        raise Mistake("a preset names no other preset", where=place_of(str(path), "preset"))
    return [(content, str(path))]


def check_out(settings: Settings, place: str) -> None:
    """A Mistake where run folders cannot be made; whatever was made to find out is taken away again."""
    folder = Path(settings.out).expanduser()
    made: list[Path] = []
    try:
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        Path(tempfile.mkdtemp(prefix=".probe-", dir=folder)).rmdir()
    except OSError as error:
        right = "a folder that this user may write to"
        raise Mistake(f"nothing can be written to {folder}: {error.strerror}", where=place, right=right) from error
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` of `--set`, dots for inner keys, values read as YAML (`train.steps=50`)."""
    content: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise Mistake(f"'{pair}' is not of the form KEY=VALUE", where="--set", right="for example train.steps=50")
        if key.count(".") >= DEEPEST:
            raise Mistake("the key is of too many parts", where="--set", right="for example train.steps=50")
        value = yaml_of(text, f"--set {pair[:80]}")
        if isinstance(value, str):
            value = _number(value)
        *outer, last = key.split(".")
        inner = content
        for part in outer:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise Mistake(f"'{key}' goes below '{part}', which is a value", where=f"--set {key}")
        inner[last] = value
    return content


def _number(text: str) -> str | float:
    """`1e-3` is a number to people, a text to YAML 1.1; `nan` and `inf` are words to both."""
    try:
        return float(text) if text[-1:].isdecimal() else text
    except ValueError:
        return text


def _check_names(settings: Settings, where: Mapping[str, str]) -> None:
    for method in settings.method:
        if method not in METHODS:
            place = place_of(where["method"], "method")
            raise Mistake(f"unknown method '{method}'", where=place, right=nearest(method, METHODS))
        if not settings.rates(method):
            place = place_of(where.get("learning_rate", ""), "learning_rate")
            right = f"learning_rate: a list for all methods, or one for {method} too"
            raise Mistake(f"there is no learning rate for the method '{method}'", where=place, right=right)
    if settings.answer in PAIRED and settings.pair is None:
        place = place_of(where.get("method", where.get("answer", "")), "method")
        what = f"the answer '{settings.answer}' compares methods, but there {'are' if settings.method[1:] else 'is'} "
        right = f"--method {PAIRED[settings.answer]}, or another answer (--set answer=orders)"
        raise Mistake(f"{what}{', '.join(settings.method)}", where=place, right=right)
    _check_rates(settings, where)
    rates = settings.learning_rate
    for method in rates if isinstance(rates, dict) else ():
        if method not in METHODS:
            place = place_of(where["learning_rate"], f"learning_rate.{method}")
            raise Mistake(f"unknown method '{method}'", where=place, right=nearest(method, METHODS))
    if settings.strategy not in STRATEGIES:
        right = nearest(settings.strategy, STRATEGIES)
        place = place_of(where["strategy"], "strategy")
        raise Mistake(f"unknown strategy '{settings.strategy}'", where=place, right=right)
    _check_goals(settings, where)


def _check_goals(settings: Settings, where: Mapping[str, str]) -> None:
    """A Mistake where what a strategy is to be told cannot be had, or is not for this strategy."""
    if settings.objective == "en-dev" and "worst_language" in settings.goals:
        what = "the goal worst_language needs scores of other languages, but under en-dev the search is told of English"
        right = "--objective target-dev (stamped as oracle selection), or goals: [score, cost]"
        raise Mistake(what, where=place_of(where["goals"], "goals"), right=right)
    if "robustness" in settings.goals and not settings.perturbations:
        right = "--perturbations standard, or other goals"
        what = "the goal robustness needs a perturbation suite"
        raise Mistake(what, where=place_of(where["goals"], "goals"), right=right)
    pruning = settings.pruning
    if pruning.pruner != "none" and pruning.roots >= settings.seeds:
        place = place_of(where.get("pruning.roots", where["pruning"]), "pruning")
        what = (
            f"a pruner spares the roots after the first {pruning.roots}, but of root seeds there are {settings.seeds}"
        )
        raise Mistake(what, where=place, right="more root seeds (--seeds), or no pruner")
    if settings.strategy == "halving" and (len(settings.goals) > 1 or settings.pruning.pruner != "none"):
        key, what = ("goals", "several goals") if len(settings.goals) > 1 else ("pruning.pruner", "a pruner besides")
        place = place_of(where.get(key, where[key.split(".")[0]]), key)
        raise Mistake(f"halving promotes by one figure and thins out by itself: it takes no {what.removeprefix('a ')}",
                      where=place, right="another strategy (--strategy gp), or leave it out")  # fmt: skip


def _check_rates(settings: Settings, where: Mapping[str, str]) -> None:
    """A Mistake where a factor makes a learning rate of 1 or more."""
    for method in settings.method:
        factors = {"learning_rate_factors": 1.0} | {
            f"train.targets.{name}.learning_rate_scale": own.learning_rate_scale.get(method, 1.0)
            for name, own in settings.train.targets.items()
        }
        for key, factor in factors.items():
            highest = max(settings.grid(method)) * factor
            if highest >= 1:
                place = place_of(where.get(key, where.get(key.split(".")[0], "")), key)
                what = f"the learning rate of '{method}' would be {highest:g}"
                raise Mistake(what, where=place, right="factors that leave it below 1")
