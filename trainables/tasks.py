"""What a task is: its kind, where its examples are, which fields mean what. Tasks are YAML files, `configs/tasks/`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from trainables.config import Config, build, find, read_yaml
from trainables.examples import Split

KindName = Literal["classification", "tagging", "retrieval"]

ROLES: dict[str, tuple[str, ...]] = {
    "classification": ("text", "label"),
    "tagging": ("words", "tags"),
    "retrieval": ("text", "pair"),
}
"""The roles a row of each kind must fill; classification of sentence pairs fills `pair` too."""


class HubSource(Config):
    """A data set of the Hugging Face hub, without a loading script, at a pinned revision (a commit's full hash).

    `configs` names, by language, the configurations of a set that has one each; other splits than test are then read in
    English only. `fields` maps roles to fields where the hub's names are not those of the folder. `language_suffix` is
    what the hub adds to the set's language codes: `-eng` where it says `deu-eng` for `deu`. Labels that the hub keeps
    as numbers are read by their names.
    """

    path: str
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    config: str | None = None
    configs: dict[str, str] = Field(default_factory=dict)
    splits: dict[Split, str]
    fields: dict[str, str] = Field(default_factory=dict)
    language_suffix: str = ""


class Source(Config):
    """Where examples come from: a set of the mini suite, or files of `--data-dir` with the hub beside them."""

    mini: str | None = None
    folder: dict[Split, str] = Field(default_factory=dict)
    hub: HubSource | None = None

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if not (self.mini or self.folder or self.hub):
            raise ValueError("one of mini, folder, hub is needed")
        return self


class Retrieval(Config):
    """How a sentence becomes a vector: which layer's states, pooled how.

    Layer 0 is the embeddings, 1 the first layer's output, -1 the last layer's. Small models are read at the last layer;
    of deep multilingual encoders a middle layer retrieves better (14 of XLM-R large's 24 is customary).
    """

    layer: int = -1
    pooling: Literal["mean", "first"] = "mean"


class Task(Config):
    """A data set with a kind, languages and a metric.

    `train` names the task whose English training set a target is trained on: itself by default, another task (XNLI is
    trained on MNLI), or `none` for a target without training data. `fields` maps roles to the names of a row's fields;
    `labels` lists the labels, `label_values` maps a row's values to them. `language_codes` maps a set's own codes of
    languages to ISO 639-1. `languages` are those scored by default, all that the data have where none is listed;
    `--languages` may name any that the data have.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    kind: KindName
    question: str = ""
    source: Source
    train: str | None = None
    labels: list[str] = Field(default_factory=list)
    label_values: dict[str, str] = Field(default_factory=dict)
    fields: dict[str, str] = Field(default_factory=dict)
    language_codes: dict[str, str] = Field(default_factory=dict)
    languages: list[str] = Field(default_factory=list)
    max_length: int = Field(128, ge=8, le=512)
    retrieval: Retrieval = Retrieval()
    licence: str = ""
    citation: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind != "retrieval" and not self.labels:
            raise ValueError(f"a task of kind {self.kind} needs its labels")
        if self.kind == "retrieval" and self.train not in (None, "none"):
            raise ValueError("a retrieval task has no training set: leave out 'train'")
        return self

    @property
    def trained_on(self) -> str | None:
        """The task whose training set this target's own stage uses, None where it is scored without training."""
        return None if self.kind == "retrieval" or self.train == "none" else self.train or self.name


def load_task(name: str, flag: str) -> Task:
    """A task by the name of a shipped file, or by the path of one's own."""
    path = find("tasks", name, flag)
    return build(Task, read_yaml(path), str(path))


def resolve_file(folder: Path, stem: str) -> Path | None:
    """The file of a split in a data folder, in any form it may have."""
    for suffix in (".jsonl.gz", ".jsonl", ".parquet"):
        path = folder / f"{stem}{suffix}"
        if path.exists():
            return path
    return None
