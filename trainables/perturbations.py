"""The perturbation suites of a study: read from their files and checked, and what their edits look up.

Neither torch nor TextAttack is imported here: planning reads suites too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perturb.edits import Resources, edit_class, make_edit
from perturb.edits.base import Edit
from perturb.errors import BadInput
from perturb.lexicon import Lexicon, Wordnet
from perturb.recipes import RECIPES, recipe
from perturb.recipes.settings import AttackSettings
from perturb.recipes.stock import Stock
from perturb.script import known
from perturb.suite import SuiteSettings
from trainables.config import build, find, place_of, read_yaml
from trainables.edited import applies
from trainables.errors import Mistake, Mistakes
from trainables.examples import Example
from trainables.languages import sides
from trainables.tasks import Task

if TYPE_CHECKING:
    from perturb.edits.masked_lm import Fill

ATTACK = "attack:"
"""What the name of a perturbation begins with where it is an attack's, before the recipe's."""

Masked = Callable[[], "tuple[Fill, str]"]
"""Gives a masked language model and its mask token."""


def load_suites(names: Sequence[str], flag: str, most: int | None = None) -> dict[str, SuiteSettings]:
    """Suites by name, of at most so many examples a language; Mistakes with all that is wrong in their files."""
    found: dict[str, SuiteSettings] = {}
    for name in names:
        path = find("perturbations", name, flag)
        suite = _resolved(build(SuiteSettings, read_yaml(path), str(path)))
        mistakes = list(_mistakes(suite, str(path)))
        mistakes += [_overlap(suite, other, flag) for other in found.values() if suite.cells & other.cells]
        if suite.name in found:
            mistakes.append(Mistake(f"two suites are named '{suite.name}'", where=flag, right="a name of its own each"))
        if mistakes:
            raise Mistakes(mistakes)
        found[suite.name] = suite if most is None else _cut(suite, most)
    return found


def _resolved(suite: SuiteSettings) -> SuiteSettings:
    """With whole paths: workers have other working directories."""
    folders = {key: getattr(suite, key) for key in ("lexicons", "wordnet")}
    whole = {key: str(Path(path).expanduser().resolve()) for key, path in folders.items() if path}
    return suite.model_copy(update=whole)


def _overlap(suite: SuiteSettings, other: SuiteSettings, flag: str) -> Mistake:
    shared = sorted(suite.cells & other.cells)
    what = f"the suites '{other.name}' and '{suite.name}' both have {shared[0]}: their figures could not be told apart"
    return Mistake(what, where=flag, right="one of them, or a suite that has all of it")


def _cut(suite: SuiteSettings, most: int) -> SuiteSettings:
    attacks_ = [
        attack.model_copy(update={"examples": min(most, attack.examples)}) if attack.examples else attack
        for attack in suite.attacks
    ]
    return suite.model_copy(update={"examples": min(most, suite.examples or most), "attacks": attacks_})


def _mistakes(suite: SuiteSettings, path: str) -> list[Mistake]:
    if not (suite.edits or suite.attacks):
        right = "`edits`, or `attacks`, or both"
        return [Mistake(f"the suite '{suite.name}' has neither edits nor attacks", where=path, right=right)]
    checks: list[tuple[str, Callable[[], Any]]] = [("edits", partial(edit_class, name)) for name in suite.edits]
    checks += [("attacks", partial(_servable, attack)) for attack in suite.attacks]
    mistakes = []
    for key, check in checks:
        try:
            check()
        except BadInput as error:
            mistakes.append(Mistake(error.what, where=place_of(path, key), right=error.right))
    return mistakes


def _servable(attack: AttackSettings) -> None:
    """BadInput where there is no such recipe, or it can serve nowhere with these settings."""
    found = recipe(attack.recipe)
    if isinstance(found, Stock):
        found.check(attack)


def told(error: BadInput, where: str) -> Mistake:
    """A mistake in what `perturb` was given, on one screen."""
    return Mistake(error.what, where=error.where or where, right=error.right)


class Lookup:
    """What a suite's edits look up for a task: lexicons and a wordnet of the folders that the suite names or the data
    folder holds, the mini suite's own words, translations of the same items, the model's guesses of masked words."""

    def __init__(
        self, suite: SuiteSettings, data_dir: str | None, masked: Masked | None = None, model: str = ""
    ) -> None:
        """`masked` is None where there is no masked language model, `model` its fingerprint. Nothing is read before it
        is needed."""
        self._model = model
        self._suite, self._data, self._masked = suite, Path(data_dir) if data_dir else None, masked
        recipes = [RECIPES[attack.recipe].edits for attack in suite.attacks if attack.recipe in RECIPES]
        self.edits = list(dict.fromkeys([*suite.edits, *(name for names in recipes for name in names)]))
        """The edits that the suite or one of its attacks uses."""

    def of(self, task: Task, examples: Sequence[Example] = ()) -> Resources:
        """What edits look up for a task; `examples` in all its languages are where translations are found."""
        mini = bool(task.source.mini)
        mixes = "code-mixing" in self.edits
        parallel = translations(examples) if "phrase-mixing" in self.edits else None
        return Resources(
            lexicon=(self._mini_lexicon if mini else self._lexicon) if mixes else None,
            mix_into=tuple(self._suite.mix_into),
            wordnet=None if mini or "synonyms" not in self.edits else self._wordnet,
            parallel=parallel,
            masked=self._masked() if self._masked and "masked-lm" in self.edits else None,
        )

    def made(self, resources: Resources) -> list[Edit]:
        """The suite's own edits, of those that are there."""
        made = (make_edit(name, resources) for name in self._suite.edits)
        return [edit for edit in made if edit]

    def grid(self, task: Task, languages: Sequence[str], examples: Sequence[Example] = ()) -> dict[str, list[str]]:
        """The cells of a task by language: edits and attacks (`attack:RECIPE`) that are there and exist in it."""
        resources = self.of(task, examples)
        edits = self.made(resources)
        found = {code: [edit.name for edit in edits if applies(edit, task, code)] for code in languages}
        for attack in self._suite.attacks:
            for code in languages:
                if attacks(attack.recipe, task, code, resources):
                    found[code].append(f"{ATTACK}{attack.recipe}")
        return found

    def mark(self, task: Task) -> str:
        """16 hexadecimal digits over the folders, and the model, that are looked up for a task; empty where none is."""
        mark = self._mini_mark if task.source.mini else self._folder_mark
        return f"{mark} word order" if task.word_order else mark

    @cached_property
    def _mini_mark(self) -> str:
        return self._marked([])

    @cached_property
    def _folder_mark(self) -> str:
        return self._marked([self._lexicon_folder, self._wordnet_folder])

    def _marked(self, folders: Sequence[Path | None]) -> str:
        parts = [self._model.encode()] if "masked-lm" in self.edits else []
        for folder in folders:
            for path in sorted(folder.rglob("*.jsonl*")) if folder else ():
                own = path.parent == folder and folder != self._data
                if own or path.parent.name.startswith(("bli_", "omw_")):
                    parts.append(path.name.encode() + path.read_bytes())
        return hashlib.sha256(b"".join(parts)).hexdigest()[:16] if parts else ""

    def check(self, where: str) -> None:
        """Read the folders once; a Mistake where one is missing or malformed."""
        try:
            for name, read in (("code-mixing", lambda: self._lexicon), ("synonyms", lambda: self._wordnet)):
                if name in self.edits:
                    read()
        except BadInput as error:
            raise told(error, where) from None

    @property
    def _lexicon_folder(self) -> Path | None:
        if "code-mixing" not in self.edits:
            return None
        if self._suite.lexicons:
            return Path(self._suite.lexicons).expanduser()
        return self._data if self._data and any(self._data.glob("bli_*/*.jsonl*")) else None

    @property
    def _wordnet_folder(self) -> Path | None:
        if "synonyms" not in self.edits:
            return None
        if self._suite.wordnet:
            return Path(self._suite.wordnet).expanduser()
        return self._data / "omw_synsets" if self._data and (self._data / "omw_synsets").is_dir() else None

    @cached_property
    def _lexicon(self) -> Lexicon | None:
        folder = self._lexicon_folder
        return Lexicon.read(folder, beside=folder != self._data) if folder else None

    @cached_property
    def _wordnet(self) -> Wordnet | None:
        return Wordnet.read(self._wordnet_folder) if self._wordnet_folder else None

    @cached_property
    def _mini_lexicon(self) -> Lexicon:
        from trainables.mini.lexicon import rows

        return Lexicon.of(rows())


def attacks(name: str, task: Task, language: str, resources: Resources) -> bool:
    """Whether a recipe attacks a task in a language with what is at hand; pairs in two languages have no recipe, nor
    has an unknown language or script."""
    found = recipe(name)
    return task.kind in found.kinds and not sides(language) and known(language) and found.exists(language, resources)


def translations(examples: Sequence[Example]) -> dict[tuple[str, str], dict[str, str]]:
    """The same text in other languages, by language and text: items that share an id, field by field."""
    items: dict[tuple[str, str], dict[str, str]] = {}
    for example in examples:
        for name, text in (("text", example.text), ("pair", example.pair)):
            if text:
                items.setdefault((example.id, name), {})[example.lang] = text
    return {
        (language, text): {other: said for other, said in texts.items() if other != language}
        for texts in items.values()
        for language, text in texts.items()
        if len(texts) > 1
    }
