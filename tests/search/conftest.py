"""A small world to plan studies in: data, tasks and a suite of a user's own, and the files of a model.

Planning checks a model's files and fingerprints them; that no tensors are in them does not matter there.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

SPLITS = ("train", "dev", "test")

WEIGHTS = "\x02\0\0\0\0\0\0\0{}"
"""A safetensors file without any tensors."""


class World:
    """Files under one folder; `study` gives the flags of a study made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.out = folder, folder / "data", folder / "out"
        self.model = folder / "model"
        self.model.mkdir(parents=True)
        for name, content in {"config.json": "{}", "tokenizer.json": "{}", "model.safetensors": WEIGHTS}.items():
            (self.model / name).write_text(content)
        pairs = {"kind": "classification", "labels": ["yes", "no"], "fields": {"pair": "pair"}}
        sources = {
            name: {"source": {"folder": {split: f"{name}/{split}" for split in SPLITS}}}
            for name in ("pairs", "topics", "tags")
        }
        self.task("pairs", **pairs, **sources["pairs"])
        self.task("topics", kind="classification", labels=["yes", "no"], **sources["topics"])
        self.task("tags", kind="tagging", labels=["N", "V"], **sources["tags"])
        self.task("links", kind="retrieval", source={"folder": {"test": "links/test"}})
        labels = ("yes", "no", "yes", "no")
        rows = [{"id": str(i), "text": f"text {i}", "pair": f"pair {i}", "label": labels[i]} for i in range(4)]
        tagged = [{"id": str(i), "words": ["dogs", "run"], "tags": ["N", "V"]} for i in range(4)]
        for split in SPLITS:
            codes = ("en", "de") if split == "test" else ("en",)
            self.rows(f"pairs/{split}", [{**row, "lang": code} for code in codes for row in rows])
            self.rows(f"topics/{split}", [{**row, "lang": code} for code in codes for row in rows])
            self.rows(f"tags/{split}", [{**row, "lang": code} for code in codes for row in tagged])
        self.rows("links/test", [{**row, "lang": code} for code in ("de", "sw") for row in rows])
        self.suite = self.yaml("suite", {
            "name": "own", "intermediate": [self.of("pairs"), self.of("topics")],
            "targets": [self.of("tags"), self.of("links")],
        })  # fmt: skip

    def of(self, task: str) -> str:
        """The file of a task."""
        return str(self.folder / f"{task}.yaml")

    def yaml(self, name: str, content: object) -> Path:
        """A YAML file; a text is written as it is."""
        path = self.folder / f"{name}.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), "utf-8")
        return path

    def task(self, name: str, **fields: object) -> Path:
        """A task's file."""
        return self.yaml(name, {"name": name, **fields})

    def rows(self, stem: str, rows: list) -> Path:
        """A file of the data folder; a row that is a text is written as it is."""
        path = self.data / f"{stem}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), "utf-8")
        return path

    def study(self, *more: object) -> list[str]:
        """The flags of a study of this world, then more."""
        own = ["--suite", self.suite, "--data-dir", self.data, "--model", self.model, "--out", self.out]
        return [str(word) for word in (*own, *more)]

    def files(self) -> set[str]:
        """Everything that is there."""
        return {str(path) for path in self.folder.rglob("*")}


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    made = World(tmp_path / "world")
    monkeypatch.chdir(made.folder)
    return made
