"""YAML and flags: bombs, tags, nesting, odd values, paths that no file has."""

from __future__ import annotations

from typing import Any

from hostile.arena import Case, registered

CASES: dict[str, Case] = {}


def refused(*told: str) -> Any:
    """Registers a case of this file."""
    return registered(CASES, *told)


def _bomb(merged: bool = False) -> str:
    lines = ["a0: &a0 {x: lol}" if merged else "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    for i in range(30):
        nine = ", ".join([f"*a{i}"] * 9)
        lines.append(f"a{i + 1}: &a{i + 1} {{<<: [{nine}]}}" if merged else f"a{i + 1}: &a{i + 1} [{nine}]")
    return "\n".join(lines)


def _space(arena, text):
    space = arena.yaml("space", text)
    if str(text).startswith(("suite: x", "suite: ~", "out: ")):  # which flags would override
        return ["--space", space, "--dry-run"]
    return arena.study("--space", space)


SPACES = {
    "billion laughs": (_bomb(), "values, aliases unpacked"),
    "billion laughs by merging": (_bomb(merged=True), "values, aliases unpacked"),
    "an alias inside of itself": ("a: &a [*a]", "inside of what it names"),
    "nested lists": ("a: " + "[" * 100_000, "levels deep"),
    "nested lines": ("- " * 100_000 + "x", "levels deep"),
    "a huge file": ("a: " + "x" * (5 * 2**20), "more than 4,194,304 bytes"),
    "a key named twice": ("seeds: 2\nseeds: 3", "'seeds' stands there twice"),
    "an escape sequence": ('suite: "\\e[2Jmini"', "control character"),
    "a NUL": ('suite: "mini\\0"', "control character"),
    "a huge whole number": ("seeds: 0x" + "f" * 5000, "more than 100 figures"),
    "a number of base 60": ("seeds: 1" + ":59" * 5000, "more than 100 figures"),
    "not a number": ("train: {weight_decay: .nan}", "finite number"),
    "infinity": ("train: {epochs: .inf}", "finite number"),
    "a day that is none": ("suite: 2026-13-45", "no valid YAML"),
    "tabs": ("\tseeds: 2", "no valid YAML"),
    "binary": (b"\x80\x02\x93\xff\x00", "no UTF-8"),
    "UTF-16": ("seeds: 2".encode("utf-16"), "no UTF-8"),
    "a list": ("- 1", "no keys and values"),
    "keys that are lists": ("? [a, b]\n: 1", "no valid YAML"),
    "keys that are numbers": ("1: 2", "unknown key '1'"),
    "dunder keys": ("__class__: {__init__: 1}", "unknown key '__class__'"),
    "a very long value": ("objective: " + "x" * 100_000, "unknown value"),
    "a suite of a name too long": ("suite: " + "x" * 5000 + ".yaml", "there is no file"),
    "a suite in the home of nobody": ("suite: ~nosuchuser/suite.yaml", "there is no file"),
    "an out folder of a name too long": ("out: " + "x" * 300, "no file can have this name"),
    "credentials that were left out": ("store: s3://***@bucket/store", "credentials were left out"),
    "a suite of perturbations elsewhere": ("perturbations: ../../etc/passwd", "there is no file"),
    "an order that is code": ("first: [\"__import__('os').system('true')\"]", "unknown task"),
    "nested orders": ("first: [\"" + "(" * 5000 + "\"]", "first"),
}  # fmt: skip
for _name, (_text, _told) in SPACES.items():
    CASES[f"YAML, {_name}"] = Case(lambda arena, text=_text: _space(arena, text), (_told,))


@refused("no valid YAML")
def _a_tag_of_Python(arena):
    return _space(arena, f"suite: !!python/object/apply:pathlib.Path.touch [{str(arena.canary)!r}]")


@refused("no valid YAML")
def _a_tag_of_Python_in_a_flag(arena):
    return arena.study("--set", f"question=!!python/object/apply:os.system ['touch {arena.canary}']")


@refused("unknown key '__class__'")
def _dunder_keys_of_a_flag(arena):
    return arena.study("--set", "__class__.__init__.__globals__=1")


@refused("too many parts")
def _a_key_of_very_many_parts(arena):
    return arena.study("--set", "a." * 10_000 + "b=1")


@refused("inside of what it names")
def _an_alias_inside_of_itself_in_a_flag(arena):
    return arena.study("--set", "first=&a [*a]")


@refused("more than 1,000 values")
def _very_many_values(arena):
    from trainables import untrusted

    arena.monkeypatch.setattr(untrusted, "MOST_NODES", 1000)
    return _space(arena, "a: [" + "x," * 2000 + "]")


@refused("there is no file")
def _a_device_as_a_space(arena):
    (arena.folder / "space.yaml").symlink_to("/dev/zero")
    return arena.study("--space", arena.at("space.yaml"))
