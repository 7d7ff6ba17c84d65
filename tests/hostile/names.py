"""Names of tasks, suites, runs and flags that are paths, commands to a terminal, or secrets."""

from __future__ import annotations

from typing import Any

from hostile.arena import Case, registered

CASES: dict[str, Case] = {}


def refused(*told: str) -> Any:
    """Registers a case of this file."""
    return registered(CASES, *told)


TASKS = {
    "above": "../../evil", "absolute": "/etc/evil", "of one's home": "~/evil", "with a line": "evil\nname",
    "with an end": "evil\n", "with a blank": "evil name", "of dots": "..", "hidden": ".evil", "of Windows": "c:\\evil",
    "a script": "<script>alert(1)</script>", "a formula": "=cmd|' /c calc'!a0", "a flag": "--evil",
    "upside down": "evil\u202etxt", "empty": "",
}  # fmt: skip
for _name, _value in TASKS.items():
    CASES[f"a task's name, {_name}"] = Case(
        lambda arena, value=_value: (arena.put("pairs.yaml", _task(value)), arena.study())[1], ("name: string should",)
    )


def _task(name: str) -> str:
    import json

    source = "{folder: {train: pairs/train, dev: pairs/dev, test: pairs/test}}"
    return f"name: {json.dumps(name)}\nkind: classification\nlabels: ['yes', 'no']\nsource: {source}\n"


@refused("there is no file")
def _a_task_that_is_a_path(arena):
    return arena.study("--set", "intermediate=../../etc/passwd")


@refused("name: string should match")
def _a_suite_of_perturbations_that_is_a_path(arena):
    return arena.study("--perturbations", arena.yaml("evil", {"name": "../evil", "edits": ["swap"]}))


@refused("there is no file", "\\x1b]0;x\\x07")
def _a_flag_that_commands_a_terminal(arena):
    return arena.study("--space", "./\x1b]0;x\x07")


@refused("unknown flag", "\\x1b[2J")
def _an_unknown_flag_that_commands_a_terminal(arena):
    return arena.study("--evil\x1b[2J")


@refused("unknown command", "\\x9b")
def _a_command_that_commands_a_terminal(arena):
    return ["\x9b31m"]


@refused("cannot be opened", "evil://***@bucket/x")
def _a_store_with_credentials(arena):
    return arena.study("--store", "evil://KEY:SE/CR+ET@bucket/x")


@refused("cannot be read", "manifest.json")
def _a_run_that_is_a_path(arena):
    return ["leaderboard", "../../../../etc"]


@refused("cannot be read")
def _a_run_of_a_name_too_long(arena):
    return ["leaderboard", "r" * 5000]
