"""Configuration files: where they are, and reading one into a pydantic model with every error told at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from trainables.errors import Mistake, Mistakes, nearest
from trainables.untrusted import CONTROL, LARGEST_YAML, parse_yaml, read_file


class Config(BaseModel):
    """A configuration: unknown keys are errors, values do not change after reading, nan and inf are no numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)

SHOWN = 200
"""Characters of a wrong value that a message repeats."""


def configs_dir() -> Path:
    """The folder of shipped configurations: beside the packages in a checkout, inside `search` when installed."""
    root = Path(__file__).resolve().parent.parent
    installed = root / "search" / "configs"
    return installed if installed.is_dir() else root / "configs"


def names(folder: str) -> list[str]:
    """The names of the shipped configurations of one folder (`tasks`, `spaces`, `suites`)."""
    return sorted(path.stem for path in (configs_dir() / folder).glob("*.yaml"))


def find(folder: str, name: str, flag: str) -> Path:
    """The file of a shipped configuration by its name, or a user's file by its path; `flag` says who named it."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = file_path(name)
        if path is None:
            raise Mistake(f"there is no file {name}", where=flag, right=f"a file, or {nearest(name, names(folder))}")
        return path
    if name not in names(folder):
        raise Mistake(f"unknown {folder.removesuffix('s')} '{name}'", where=flag, right=nearest(name, names(folder)))
    return configs_dir() / folder / f"{name}.yaml"


def file_path(name: str) -> Path | None:
    """A user's file by its path; None where there is none, or the path is none that a file could have."""
    try:
        path = Path(name).expanduser()
        return path if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # a name of thousands of characters; `~nobody`; a NUL
        return None


def checked_path(name: str) -> str:
    """A path or URL as it is given. ValueError where it is none that could be opened."""
    if CONTROL.search(name) or max(map(len, name.split("/"))) > 255:
        raise ValueError("no file can have this name")
    try:
        Path(name).expanduser()
    except RuntimeError as error:  # `~nobody`
        raise ValueError("there is no such home folder") from error
    return name


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping, by the safe loader; a Mistake where it is unreadable, beyond a limit, or no mapping."""
    try:
        content = yaml_of(read_file(path, LARGEST_YAML).decode("utf-8"), str(path))
    except OSError as error:
        raise Mistake(f"the file cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise Mistake(f"the file is no UTF-8 text: {error.reason}", where=str(path), right="a YAML file") from error
    except ValueError as error:
        raise Mistake(str(error), where=str(path), right="a YAML file of settings") from error
    if not isinstance(content, dict):
        raise Mistake("the file holds no keys and values", where=str(path), right="lines of the form `key: value`")
    return content


def yaml_of(text: str, where: str) -> Any:
    """What a YAML text holds; a Mistake where it is malformed or beyond a limit of `trainables.untrusted`."""
    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}, line {mark.line + 1}, column {mark.column + 1}" if mark else where
        problem = getattr(error, "problem", None) or str(error).split("\n")[0]
        raise Mistake(f"this is no valid YAML: {problem}", where=place) from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:  # of values that are tagged oddly
        right = "dates and versions in quotes, no tags such as !!int"
        raise Mistake(f"this is no valid YAML: {error}", where=where, right=right) from error


def build(model: type[Model], content: Mapping[str, Any], where: Mapping[str, str] | str) -> Model:
    """The model from a mapping; Mistakes with the place of every error.

    `where` is the file the content is from, or for each key (`train`, and `train.steps` where it was set by itself) the
    flag or file that set it.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise Mistakes(_mistake(model, problem, where) for problem in error.errors()) from None


def _mistake(model: type[BaseModel], problem: Any, where: Mapping[str, str] | str) -> Mistake:
    path = [str(part) for part in problem["loc"] if part != "[key]"]
    key = ".".join(path)
    source = where if isinstance(where, str) else where.get(".".join(path[:2]), where.get("".join(path[:1]), ""))
    place = place_of(source, key)
    given = problem.get("input")
    if problem["type"] == "extra_forbidden":
        return Mistake(f"unknown key '{_cut(key)}'", where=place, right=_nearest_key(model, path))
    if problem["type"] == "missing":
        return Mistake(f"the key '{key}' is missing", where=source)
    if problem["type"] == "literal_error":
        right = nearest(str(given)[:SHOWN], re.findall(r"'([^']*)'", problem["ctx"]["expected"]))
        return Mistake(f"{key}: unknown value {_cut(repr(given))}", where=place, right=right)
    message = problem["msg"].removeprefix("Value error, ")
    shown = f" (given: {_cut(repr(given))})" if isinstance(given, str | int | float | bool | list | None) else ""
    return Mistake(f"{key}: {message[0].lower() + message[1:]}{shown}" if key else message, where=place)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def place_of(source: str, key: str) -> str:
    """Where a setting was made, for a message: the flag (`--set` with the key), or the file and the key in it."""
    if source == "--set":
        return f"--set {key}"
    return source if source.startswith("--") or not key else f"{source}, key '{key}'"


def _nearest_key(model: Any, path: Sequence[str]) -> str:
    """A hint for an unknown key; one that belongs in a section is told with it (`steps`: `train.steps`)."""
    *outer, last = path
    for part in outer:
        model = _section(model, part) or model
    valid = list(model.model_fields)
    for name in valid:
        if last in getattr(_section(model, name), "model_fields", ()):
            return f"did you mean '{'.'.join([*outer, name, last])}'? Known: {', '.join(sorted(valid))}"
    return nearest(last, valid)


def _section(model: Any, key: str) -> Any:
    """The model that a key's value is read into, None where it is none."""
    field = model.model_fields.get(key)
    kinds = (field.annotation, *getattr(field.annotation, "__args__", ())) if field else ()
    return next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
