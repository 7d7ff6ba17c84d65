"""A small world that all is in order in, and a canary that anything executed would leave."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

SPLITS = ("train", "dev", "test")

EMPTY_WEIGHTS = b"\x02\0\0\0\0\0\0\0{}"


class Case(NamedTuple):
    """`make` prepares an input and gives the command's words; `told` is what the message must hold."""

    make: Callable[[Arena], list[Any]]
    told: tuple[str, ...]


def registered(cases: dict[str, Case], *told: str) -> Callable[[Callable[[Arena], list[Any]]], Any]:
    """Puts a function among the cases by its name."""

    def register(function: Callable[[Arena], list[Any]]) -> Callable[[Arena], list[Any]]:
        cases[function.__name__.strip("_").replace("_", " ")] = Case(function, told)
        return function

    return register


class _Runs:
    """What a pickle of it does when it is read: make a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


class Arena:
    """Files below one folder: tasks, data, a suite, a model, and (made when first asked for) a finished run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.out, self.model = folder, folder / "data", folder / "out", folder / "model"
        self.canary = folder.parent / "executed"
        self.monkeypatch: Any = None
        self.pickle = pickle.dumps(_Runs(self.canary), protocol=2)
        self.model.mkdir(parents=True)
        self.put("model/config.json", "{}"), self.put("model/tokenizer.json", "{}")
        self.put("model/model.safetensors", EMPTY_WEIGHTS)
        for name in ("pairs", "tags"):
            self.task(name)
        rows = [{"id": str(i), "text": f"text {i}", "label": "yes"} for i in range(4)]
        tagged = [{"id": str(i), "words": ["dogs", "run"], "tags": ["N", "V"]} for i in range(4)]
        for split in SPLITS:
            codes = ("en", "de") if split == "test" else ("en",)
            self.rows(f"pairs/{split}", [{**row, "lang": code} for code in codes for row in rows])
            self.rows(f"tags/{split}", [{**row, "lang": code} for code in codes for row in tagged])
        self.yaml("suite", {"name": "own", "intermediate": [self.at("pairs.yaml")], "targets": [self.at("tags.yaml")]})

    def at(self, name: str) -> str:
        """A file's path."""
        return str(self.folder / name)

    def put(self, name: str, content: str | bytes) -> Path:
        """A file of this content; a link at its place is replaced."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
        return path

    def yaml(self, name: str, content: Any) -> str:
        """A YAML file; a text is written as it is."""
        text = content if isinstance(content, str | bytes) else yaml.safe_dump(content)
        return str(self.put(f"{name}.yaml", text))

    def task(self, name: str, **changed: Any) -> str:
        """A task's file."""
        own = {"kind": "tagging", "labels": ["N", "V"]} if name == "tags" else {"kind": "classification",
                                                                                "labels": ["yes", "no"]}  # fmt: skip
        source = {"folder": {split: f"{name}/{split}" for split in SPLITS}}
        return self.yaml(name, {"name": name, **own, "source": source, **changed})

    def rows(self, stem: str, rows: list[Any]) -> Path:
        """A file of the data folder; a row that is a text is written as it is."""
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        return self.put(f"data/{stem}.jsonl", "\n".join(lines) + "\n")

    def study(self, *more: Any) -> list[Any]:
        """The words of a dry run of this world's study, then more."""
        own = ["--suite", self.at("suite.yaml"), "--data-dir", self.data, "--model", self.model, "--out", self.out]
        return [*own, "--dry-run", *more]

    @property
    def run(self) -> Path:
        """A finished run."""
        folder = self.folder / "runs" / "made"
        if not folder.exists():
            made = _beside("search/made_runs.py")
            made.made_run(folder, tasks=("mini-nli", "mini-tags"), roots=2)
            (folder / "leaderboard.json").write_text(json.dumps({"title": "t", "notes": [], "rows": []}))
        return folder

    def manifest(self, **changed: Any) -> list[Any]:
        """The run with other keys in its manifest; the words that read it."""
        path = self.run / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
        return ["leaderboard", self.run]


def _beside(name: str) -> Any:
    """A module of the tests' by its file."""
    spec = importlib.util.spec_from_file_location("made_runs", Path(__file__).parents[1] / name)
    if spec is None or spec.loader is None:
        raise ImportError(name)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def contents(folder: Path) -> dict[str, str]:
    """Everything below a folder: of files a checksum, of links where they lead."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = f"link to {path.readlink()}"
        elif path.is_file():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[str(path)] = "folder" if path.is_dir() else "something else"
    return found
