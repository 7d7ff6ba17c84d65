"""What a task is: its kind, where its examples are, which fields mean what. Tasks are YAML files, `configs/tasks/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from trainables.config import Config, build, configs_dir, find, read_yaml
from trainables.errors import Mistake
from trainables.examples import Split
from trainables.languages import pairs_of
from trainables.templates import Template

KindName = Literal["classification", "tagging", "span", "choice", "retrieval", "mining", "masked_lm"]

ROLES: dict[str, tuple[str, ...]] = {
    "classification": ("text", "label"),
    "tagging": ("words", "tags"),
    "span": ("text", "pair"),
    "choice": ("text", "choices", "label"),
    "retrieval": ("text", "pair"),
    "mining": ("text",),
    "masked_lm": ("text",),
}
"""The roles a row of each kind must fill; sentence pairs and choices about a context fill `pair` too."""

UNTRAINED = ("retrieval", "mining")
"""Kinds that compare sentence vectors: they have no head and nothing to train."""

SETTINGS_OF: dict[str, set[str]] = {
    "span": {"span"}, "retrieval": {"retrieval"}, "mining": {"retrieval", "mining"}, "masked_lm": {"masked_lm"},
}  # fmt: skip
"""The sections of a task's file that its kind reads; those of other kinds change nothing of it."""

KIND_SETTINGS = set().union(*SETTINGS_OF.values())

METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy",),
    "tagging": ("f1", "token_accuracy"),
    "span": ("squad", "squad_v2", "mlqa"),
    "choice": ("accuracy",),
    "retrieval": ("accuracy",),
    "mining": ("f1",),
    "masked_lm": ("accuracy",),
}
"""The metrics a task of each kind may name as its own; the first is the default. All of a kind's are recorded."""


class HubSource(Config):
    """A data set of the Hugging Face hub, without a loading script, at a pinned revision (a commit's full hash).

    `configs` names, by language, the configurations of a set that has one each; other splits than test are then read in
    English only. `fields` maps roles to fields where the hub's names are not those of the folder. `language_suffix` is
    what the hub adds to the set's language codes: `-eng` where it says `deu-eng` for `deu`. Labels that the hub keeps
    as numbers are read by their names.
    """

    path: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$", description="owner/name, never a folder")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    config: str | None = None
    configs: dict[str, str] = Field(default_factory=dict)
    splits: dict[Split, str]
    fields: dict[str, str] = Field(default_factory=dict)
    language_suffix: str = ""


class CarvedDev(Config):
    """An English dev set taken out of the training set: whole groups of rows with the same value of a field."""

    by: str
    share: float = Field(0.1, gt=0, lt=1)


class Source(Config):
    """Where examples come from.

    - `mini`: a set of the mini suite.
    - `folder`: for each split a file of `--data-dir`, without its suffix; `{lang}` in it stands for each language's
      own file. `gold` is the file that pairs the sentences of a mining task, in which `{split}` stands for the split.
      `hub`: the same on the Hugging Face hub, read where no `--data-dir` is given. `carved_dev` says how a dev set is
      taken from the training set.
    - `tasks`: other tasks whose examples together are this one's.
    - `ccgbank`: the folder of CCGbank's AUTO files (LDC2005T13), below `--data-dir`.
    """

    mini: str | None = None
    folder: dict[Split, str] = Field(default_factory=dict)
    gold: str | None = None
    hub: HubSource | None = None
    carved_dev: CarvedDev | None = None
    tasks: list[str] = Field(default_factory=list)
    ccgbank: str | None = None

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if not (self.mini or self.folder or self.hub or self.tasks or self.ccgbank):
            raise ValueError("one of mini, folder, hub, tasks, ccgbank is needed")
        return self

    @property
    def splits(self) -> set[Split]:
        """The splits that a folder or the hub has."""
        named = {*self.folder, *(self.hub.splits if self.hub else {})}
        return named | ({"dev"} if self.carved_dev else set())


class Difficulty(Config):
    """How hard an intermediate task is, by the rule of docs/tasks.md, and what that rests on."""

    rating: Literal["low", "high"]
    source: str


class Retrieval(Config):
    """How a sentence becomes a vector: which layer's states, pooled how.

    Layer 0 is the embeddings, 1 the first layer's output, -1 the last layer's. Small models are read at the last layer;
    of deep multilingual encoders a middle layer retrieves better (14 of XLM-R large's 24 is customary).
    """

    layer: int = -1
    pooling: Literal["mean", "first"] = "mean"


class Span(Config):
    """How questions are answered with a piece of a context; lengths in tokens (BERT's names in brackets).

    A window over a context that does not fit moves on by `stride` tokens (doc_stride); a question is cut at
    `question_length` (max_query_length), an answer has at most `answer_length` (max_answer_length). `null_margin` is by
    how much the null score must beat the best span for "no answer" (null_score_diff_threshold).
    """

    stride: int = Field(128, ge=1)
    question_length: int = Field(64, ge=4)
    answer_length: int = Field(30, ge=1)
    may_be_unanswerable: bool = False
    null_margin: float = 0.0


class Mining(Config):
    """How a pair of sentences is scored: the cosine, or its ratio to the mean over the nearest neighbours (margin)."""

    score: Literal["margin", "cosine"] = "margin"
    neighbours: int = Field(4, ge=1)


class MaskedLM(Config):
    """How text is masked: the share of tokens, and how many differently masked copies of each text there are."""

    share: float = Field(0.15, gt=0, lt=1)
    copies: int = Field(4, ge=1)


class Task(Config):
    """A data set with a kind, languages and a metric.

    `train` names the task whose English training set a target is trained on: itself by default, another task (XNLI is
    trained on MNLI), or `none` for a target without training data. `fields` maps roles to the names of a row's fields
    (dots go into a field, a list names one field a choice); `labels` lists the labels (`labels_from_train`: they
    are those of the English training set), `label_values` maps a row's values to them, rows with a value of
    `unlabelled` have none and are left out. `metric` is the one that counts, of `METRICS`.

    `languages` are those scored by default and averaged over, all that the data have where none is listed;
    `extra_languages` are scored too and shown apart. `--languages` may name any that the data have. `language_codes`
    maps a set's own codes to ISO 639-1. `train_languages` other than English are for unlabelled text, or for English
    training data that were translated (`translated: true`), which every result then says.

    `mixed` makes the test languages of a task of sentence pairs two: every ordered pair of the languages it names,
    written `es-ru`, the first sentence in the one, the second in the other. Its `languages` are all of these pairs
    where none is listed. `template` is the task's text form, in which decoders do it (docs/icl.md). `word_order` says
    that the label hangs on the order of the words (PAWS): no perturbation then changes that.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    kind: KindName
    question: str = ""
    source: Source
    train: str | None = None
    labels: list[str] = Field(default_factory=list)
    labels_from_train: bool = False
    label_values: dict[str, str] = Field(default_factory=dict)
    unlabelled: list[str] = Field(default_factory=list)
    fields: dict[str, str | list[str]] = Field(default_factory=dict)
    metric: str | None = None
    language_codes: dict[str, str] = Field(default_factory=dict)
    languages: list[str] = Field(default_factory=list)
    extra_languages: list[str] = Field(default_factory=list)
    mixed: list[str] = Field(default_factory=list)
    train_languages: list[str] = Field(default_factory=lambda: ["en"])
    translated: bool = False
    sham: bool = False
    word_order: bool = False
    max_length: int = Field(128, ge=8, le=512)
    retrieval: Retrieval = Retrieval()
    span: Span = Span.model_validate({})
    mining: Mining = Mining.model_validate({})
    masked_lm: MaskedLM = MaskedLM.model_validate({})
    template: Template | None = None
    difficulty: Difficulty | None = None
    licence: str = ""
    citation: str = ""

    @model_validator(mode="before")
    @classmethod
    def _pairs(cls, content: Any) -> Any:
        """All pairs of `mixed` are its languages where it lists none."""
        mixed = content.get("mixed") if isinstance(content, dict) else None
        if not isinstance(mixed, list) or content.get("languages"):
            return content
        return {**content, "languages": pairs_of([str(code) for code in mixed])}

    @model_validator(mode="after")
    def _mixes(self) -> Self:
        if not self.mixed:
            return self
        if self.kind != "classification":
            raise ValueError(f"mixed: only classification has pairs of sentences to mix, not {self.kind}")
        if len(self.mixed) < 2 or len(set(self.mixed)) < len(self.mixed):
            raise ValueError("mixed: two languages at least are needed, each named once")
        if any("-" in code or not code for code in self.mixed):
            raise ValueError("mixed: a language's code has no '-', which stands between the two of a pair")
        pairs = pairs_of(self.mixed)
        others = [code for code in (*self.languages, *self.extra_languages) if code not in pairs]
        if others:
            raise ValueError(
                f"languages: no pair of those in `mixed`: {', '.join(others)}; pairs are written {pairs[1]}"
            )
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind in ("classification", "tagging") and not (self.labels or self.labels_from_train):
            raise ValueError(f"a task of kind {self.kind} needs its labels")
        if self.kind in UNTRAINED and self.train not in (None, "none"):
            raise ValueError(f"a {self.kind} task has no training set: leave out 'train'")
        if self.metric and self.metric not in METRICS[self.kind]:
            raise ValueError(f"metric: a {self.kind} task has {', '.join(METRICS[self.kind])} (given: {self.metric})")
        if self.span.may_be_unanswerable and self.metric != "squad_v2":
            raise ValueError("span.may_be_unanswerable: only `metric: squad_v2` counts a right 'no answer'")
        if self.template:
            self.template.check(self.kind, self.labels)
        if self.train_languages != ["en"] and not (self.translated or self.kind == "masked_lm"):
            raise ValueError("train_languages: labels of other languages than English are not zero-shot; say "
                             "`translated: true` where they are translations of English training data")  # fmt: skip
        return self

    @property
    def trained_on(self) -> str | None:
        """The task whose training set this target's own stage uses, None where it is scored without training."""
        return None if self.kind in UNTRAINED or self.train == "none" else self.train or self.name

    @property
    def unmixed(self) -> Task:
        """The task in single languages that one with `mixed` ones is joined from; itself where none is mixed."""
        if not self.mixed:
            return self
        return self.model_copy(update={"languages": self.mixed, "extra_languages": [], "mixed": []})


SHAM = "sham-"
"""`sham-mnli` is mnli with its training labels shuffled: a control that trains as long and teaches nothing."""


def load_task(name: str, flag: str) -> Task:
    """A task by the name of a shipped file, by the path of one's own, or the sham of one (`sham-mnli`)."""
    if name.startswith(SHAM) and not _is_shipped(name):
        return sham(load_task(name.removeprefix(SHAM), flag), flag)
    path = find("tasks", name, flag)
    return build(Task, read_yaml(path), str(path))


def sham(task: Task, flag: str) -> Task:
    """The task with shuffled training labels (arXiv 2108.11696)."""
    if task.kind in (*UNTRAINED, "masked_lm"):
        raise Mistake(f"'{task.name}' has no labels to shuffle", where=flag, right="a task with labels")
    name = f"{SHAM}{task.name}"
    return task.model_copy(
        update={"name": name, "sham": True, "train": None, "question": f"{task.name}, labels shuffled"}
    )


def _is_shipped(name: str) -> bool:
    return (configs_dir() / "tasks" / f"{name}.yaml").exists()


def resolve_file(folder: Path, stem: str) -> Path | None:
    """The file of a split in a data folder, in any form it may have."""
    for suffix in (".jsonl.gz", ".jsonl", ".parquet"):
        path = folder / f"{stem}{suffix}"
        if path.exists():
            return path
    return None
