"""What an attack finds out about a text without asking the model: remembered, so that the next model need not wait.

The candidates of an example's original text, after constraints, are the same for every model, and what a word may
become is the same in every text. Only what draws no random numbers is remembered, so results stay as they are.

Importing this imports TextAttack.
"""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from perturb.attacked_text import ScriptText, ta
from perturb.dice import Dice

Kept = list[tuple[int, tuple[tuple[int, str], ...]]]
"""Candidates in order: which of the recipe's transformations made it, and which words became what."""

_SWAPS = ta.transformations
_NO_DICE = tuple(
    getattr(_SWAPS, name)
    for name in (
        "WordSwapHomoglyphSwap", "WordSwapNeighboringCharacterSwap", "WordSwapQWERTY",
        "WordSwapRandomCharacterDeletion", "WordSwapEmbedding", "WordSwapWordNet", "WordSwapContract",
        "WordSwapExtend", "WordDeletion",
    )
)  # fmt: skip
"""TextAttack's transformations that draw nothing where they say that they are deterministic; some others do draw."""

_OWN_ATTRS = frozenset({
    "label_names", "newly_modified_indices", "previous_attacked_text", "modified_indices", "original_index_map",
    "last_transformation",
})  # fmt: skip


class CandidateStore:
    """Candidates of original texts, by recipe and text, and what single words become, by recipe."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        self._words: dict[tuple[str, int], dict[str, tuple[str, ...]]] = {}
        self.hits = self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    def to_bytes(self) -> bytes:
        """The candidates, for another process or another day."""
        return zlib.compress(json.dumps(self._kept, ensure_ascii=True).encode(), 6)

    @classmethod
    def from_bytes(cls, content: bytes) -> CandidateStore:
        """A store again. Raises ValueError for what is none."""
        store = cls()
        try:
            found = json.loads(zlib.decompress(content))
            store._kept = {
                key: [(int(by), tuple((int(i), str(word)) for i, word in change)) for by, change in kept]
                for key, kept in found.items()
            }
        except (zlib.error, TypeError, AttributeError) as error:
            raise ValueError(f"these bytes hold no candidates: {error}") from error
        return store

    def words(self, recipe: str, transformation: int) -> dict[str, tuple[str, ...]]:
        """What words become by one of a recipe's transformations."""
        return self._words.setdefault((recipe, transformation), {})

    def remembering(self, attack: Any, recipe: str, example: ScriptText) -> Callable[..., list[Any]]:
        """`attack.get_transformations`, which looks up what it was asked about an example's original text before."""
        leaves, quiet = list(leaves_of(attack.transformation)), not draws(attack)
        name = json.dumps([recipe, example.language, list(example._text_input.items()), example.fixed, example._given])

        def get_transformations(current_text: Any, original_text: Any = None, **asked: Any) -> list[Any]:
            if current_text is not example or original_text is not example or asked.keys() - {"indices_to_modify"}:
                return list(attack.get_transformations(current_text, original_text, **asked))
            at = asked.get("indices_to_modify")
            key = f"{name} {sorted(map(int, at)) if at is not None else 'all'}"
            if key in self._kept:
                self.hits += 1
                return [_made(example, leaves[by], change) for by, change in self._kept[key]]
            self.misses += 1
            before = None if quiet else Dice()
            found: list[Any] = attack.get_transformations(current_text, original_text, **asked)
            kept = _kept(found, leaves, example)
            if kept is not None and (before is None or before == Dice()):
                self._kept[key] = kept
            return found

        return get_transformations


def _made(example: ScriptText, transformation: Any, change: tuple[tuple[int, str], ...]) -> ScriptText:
    found = example.replace_words_at_indices([i for i, _ in change], [word for _, word in change])
    found.attack_attrs["last_transformation"] = transformation
    return found


def _kept(found: list[Any], leaves: list[Any], example: ScriptText) -> Kept | None:
    """Candidates in few words; None where one is more than changed words (a score that a constraint wrote on it)."""
    kept: Kept = []
    for text in found:
        attrs = text.attack_attrs
        by = [i for i, leaf in enumerate(leaves) if leaf is attrs.get("last_transformation")]
        own = (
            isinstance(text, ScriptText) and attrs.get("previous_attacked_text") is example and text.change is not None
        )
        if not own or not by or attrs.keys() - _OWN_ATTRS:
            return None
        kept.append((by[0], text.change))
    return kept


def leaves_of(transformation: Any) -> Iterator[Any]:
    """The transformations that a composite is made of."""
    for one in getattr(transformation, "transformations", None) or ():
        yield from leaves_of(one)
    if not hasattr(transformation, "transformations"):
        yield transformation


def draws(attack: Any) -> bool:
    """Whether an attack may draw random numbers. A part of ours that draws none says so: `draws = False`."""
    search = attack.search_method
    known = (ta.search_methods.GreedyWordSwapWIR, ta.search_methods.BeamSearch, ta.search_methods.GreedySearch)
    searches = getattr(search, "draws", type(search) not in known or getattr(search, "wir_method", "") == "random")
    return bool(searches) or any(_draws(leaf) for leaf in leaves_of(attack.transformation))


def _draws(leaf: Any) -> bool:
    ours = type(leaf).__module__.startswith("perturb.")  # no edit here draws from the global generators
    return bool(getattr(leaf, "draws", not leaf.deterministic or not (ours or type(leaf) in _NO_DICE)))


def with_memory(transformation: Any, store: CandidateStore, recipe: str) -> Any:
    """A transformation that finds out once what a word becomes, where that depends on the word alone."""
    numbers = iter(range(1 << 30))

    def copied(one: Any) -> Any:
        made = copy.copy(one)
        if hasattr(one, "transformations"):
            made.transformations = [copied(part) for part in one.transformations]
            return made
        number, swap = next(numbers), _SWAPS.WordSwap
        if isinstance(one, swap) and type(one)._get_transformations is swap._get_transformations and not _draws(one):
            memory = store.words(recipe, number)

            def replacement_words(word: str) -> list[str]:
                if word not in memory:
                    memory[word] = tuple(one._get_replacement_words(word))
                return list(memory[word])

            made._get_replacement_words = replacement_words
        return made

    return copied(transformation)
