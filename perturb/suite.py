"""Suites: fixed edits of a task's examples, the same for every model, made once and stored.

What becomes of an example hangs on the suite's seed, the edit, the example's id and the field alone, never on the
order in which examples come or on who makes them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from perturb.edits.base import Edit, Replacement, Text
from perturb.recipes.settings import AttackSettings

VERSION = 3
"""Raised by hand whenever an edit's code or tables change what a suite holds."""

Fields = Literal["all", "first", "second"]

Changes = Mapping[str, Sequence[Replacement]]
"""What becomes of an example: replacements by field."""


class SuiteSettings(BaseModel):
    """A suite: fixed edits at some severities, and attacks. Made from a YAML file of configs/perturbations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    question: str = ""
    seed: int = Field(0, ge=0)
    severities: list[int] = Field(default_factory=lambda: [3], min_length=1, description="1 (little) to 5 (much)")
    edits: list[str] = Field(default_factory=list, description="names of `order-search ls edits`")
    attacks: list[AttackSettings] = Field(default_factory=list, description="searches for the worst")
    examples: int | None = Field(200, ge=1, description="of a language, the same in each; null for all")
    fields: Fields = Field("all", description="of pairs: both texts, the first alone, or the second")
    lexicons: str | None = Field(None, description="folder of bilingual lexicons (default: the data folder's)")
    wordnet: str | None = Field(None, description="folder of a multilingual wordnet (default: the data folder's)")
    mix_into: list[str] = Field(default_factory=list, description="languages to mix in (all that the lexicon has)")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="of the model when it is attacked")

    @field_validator("severities")
    @classmethod
    def _known(cls, value: list[int]) -> list[int]:
        if not all(1 <= severity <= 5 for severity in value) or len(set(value)) < len(value):
            raise ValueError("severities are distinct numbers from 1 to 5")
        return sorted(value)

    @field_validator("attacks")
    @classmethod
    def _once(cls, value: list[AttackSettings]) -> list[AttackSettings]:
        names = [attack.recipe for attack in value]
        if len(set(names)) < len(names):
            raise ValueError("a recipe stands in a suite once")
        return value

    @field_validator("edits")
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        twice = [name for name in value if value.count(name) > 1]
        if twice:
            raise ValueError(f"'{twice[0]}' is named twice")
        return value

    @property
    def cells(self) -> set[str]:
        """The edits at each severity, and the attacks: what rows of scores are told apart by."""
        edits = {f"{name} at severity {severity}" for name in self.edits for severity in self.severities}
        return edits | {f"the attack {attack.recipe}" for attack in self.attacks}

    def fingerprint(self, resources: str = "") -> str:
        """16 hexadecimal digits over all that the edited texts depend on besides the examples; `resources` stands for
        the lexicons."""
        kept = self.model_dump(mode="json", exclude={"name", "question", "attacks", "lexicons", "wordnet", "dtype"})
        text = json.dumps([VERSION, kept, resources], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def attack_fingerprint(self, attack: AttackSettings, resources: str = "") -> str:
        """16 hexadecimal digits over all that an attack's results depend on besides the examples and the model."""
        kept = [VERSION, attack.model_dump(mode="json"), self.seed, self.examples, self.mix_into, self.dtype, resources]
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


class Item(NamedTuple):
    """An example as edits see it: its texts by field."""

    id: str
    texts: Mapping[str, Text]


@dataclass(frozen=True)
class Coverage:
    """How much of a language's examples an edit can change: examples, those with an admissible candidate, their words,
    and the candidates of all of these."""

    examples: int
    attackable: int
    words: int
    candidates: int

    @property
    def attackability(self) -> float:
        """Share of examples with at least one admissible candidate."""
        return self.attackable / self.examples if self.examples else 0.0


@dataclass(frozen=True)
class Edited:
    """What a suite makes of one language's examples: changes by edit and severity, one an example; by edit, those of
    all sites (`whole`), which tell what an edit can do to an example that a severity leaves as it is; and coverage."""

    changes: dict[tuple[str, int], list[Changes]]
    whole: dict[str, list[Changes]]
    coverage: dict[str, Coverage]

    def to_bytes(self) -> bytes:
        """Gzipped JSON, the same bytes for the same content."""
        changes = [[*cell, list(map(_plain, rows))] for cell, rows in self.changes.items()]
        whole = {name: list(map(_plain, rows)) for name, rows in self.whole.items()}
        coverage = {name: list(vars(found).values()) for name, found in self.coverage.items()}
        content = {"changes": changes, "whole": whole, "coverage": coverage}
        return gzip.compress(
            json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode(), compresslevel=6, mtime=0
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Edited:
        """The inverse of `to_bytes`."""
        read = json.loads(gzip.decompress(content))
        changes: dict[tuple[str, int], list[Changes]] = {
            (name, severity): list(map(_changes, rows)) for name, severity, rows in read["changes"]
        }
        whole = {name: list(map(_changes, rows)) for name, rows in read["whole"].items()}
        return cls(changes, whole, {name: Coverage(*found) for name, found in read["coverage"].items()})


def _plain(changes: Changes) -> dict[str, list[Replacement]]:
    return {name: list(found) for name, found in changes.items()}


def _changes(plain: Mapping[str, list[tuple[int, int, str]]]) -> Changes:
    return {name: [Replacement(*one) for one in found] for name, found in plain.items()}


def prepare(edits: Iterable[Edit], items: Sequence[Item], severities: Sequence[int], seed: int) -> Edited:
    """Edit one language's items; an item that an edit does not change stays as it is (no changes)."""
    changes: dict[tuple[str, int], list[Changes]] = {}
    whole: dict[str, list[Changes]] = {}
    coverage: dict[str, Coverage] = {}
    for edit in edits:
        words = candidates = 0
        whole[edit.name] = []
        for severity in severities:
            changes[edit.name, severity] = []
        for item in items:
            every: dict[str, list[Replacement]] = {}
            made: dict[int, dict[str, list[Replacement]]] = {severity: {} for severity in severities}
            for name, text in item.texts.items():
                rng = random.Random(f"{seed} {edit.name} {item.id} {name}")
                graded = edit.graded(text, rng, severities)
                words, candidates = words + graded.words, candidates + graded.candidates
                if graded.whole:
                    every[name] = graded.whole
                for severity, found in graded.replacements.items():
                    if found:
                        made[severity][name] = found
            whole[edit.name].append(every)
            for severity in severities:
                changes[edit.name, severity].append(made[severity])
        coverage[edit.name] = Coverage(len(items), sum(map(bool, whole[edit.name])), words, candidates)
    return Edited(changes, whole, coverage)
