"""Score a target under an attack: for each example the worst text that a recipe finds within its budgets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from perturb.edits import Resources
from perturb.measure import Figure, attack_figures, mean
from perturb.recipes.settings import AttackSettings
from perturb.suite import Item, SuiteSettings
from trainables.edited import item_of, vocabulary
from trainables.evaluate import EvaluationSet
from trainables.examples import in_search_half
from trainables.kinds.forms import kind_of
from trainables.models import Encoder
from trainables.perturbations import ATTACK, Lookup, attacks
from trainables.perturbed import Row, choose
from trainables.tasks import Task
from trainables.victim import Victim
from trainables.watch import beating

if TYPE_CHECKING:
    from perturb.candidates import CandidateStore

FIGURES = {"tagging": "token_accuracy", "span": "f1"}
"""What the figure of an example is, by kind of task, where it is no accuracy."""

ENGLISH_WORDS = "textattack:"
"""What the names of TextAttack's own recipes begin with: their words are cut as TextAttack cuts them."""


@dataclass
class Ground:
    """What an attack on one set needs and no model changes: the texts, their candidates, and how many there are."""

    chosen: list[int]
    items: list[Item]
    attested: frozenset[str]
    resources: Resources
    store: CandidateStore
    candidates: list[list[int]] = field(default_factory=list)
    """For each text, how many candidates each of its words has."""


class Attacks:
    """A suite's attacks on targets, with what a worker keeps of them from one stage's weights to the next."""

    def __init__(self, settings: SuiteSettings, lookup: Lookup) -> None:
        self.settings, self._lookup = settings, lookup
        self._resources: dict[tuple[str, str], Resources] = {}
        self._grounds: dict[tuple[str, str, str, str], Ground] = {}

    def evaluate(
        self, model: Encoder, task: Task, head: nn.Module | None, sets: Sequence[EvaluationSet], recipe: str,
        longest: int, split: int = 1,
    ) -> tuple[list[Row], list[Row]]:  # fmt: skip
        """Rows of scores and of predictions of a target's English dev set and its test sets, language by language.

        The model reads batches of the `split`-th part of the usual size.
        """
        attack = next(one for one in self.settings.attacks if one.recipe == recipe)
        scores: list[Row] = []
        items: list[Row] = []
        for part in sets:
            if part.portion in ("dev", "test") and part.examples:
                resources = self._of(task, part.portion, sets)
                if attacks(recipe, task, part.language, resources):
                    ground = self._ground(task, part, attack, resources)
                    fields = list(ground.items[0].texts)
                    victim = Victim(model, task, head, part, fields, longest, split)
                    rows = attacked(victim, part.language, ground, attack)
                    scores += _scores(model, task, part, attack, ground, rows)
                    about = {"portion": part.portion, "language": part.language, "severity": 0,
                             "perturbation": f"{ATTACK}{recipe}"}  # fmt: skip
                    items += [{**about, **row} for row in rows]
        return scores, items

    def _of(self, task: Task, portion: str, sets: Sequence[EvaluationSet]) -> Resources:
        if (task.name, portion) not in self._resources:
            examples = [example for part in sets if part.portion == portion for example in part.examples]
            self._resources[task.name, portion] = self._lookup.of(task, examples)
        return self._resources[task.name, portion]

    def _ground(self, task: Task, part: EvaluationSet, attack: AttackSettings, resources: Resources) -> Ground:
        from perturb.candidates import CandidateStore

        place = task.name, part.portion, part.language, attack.recipe
        if place not in self._grounds:
            chosen = choose(task, part.examples, attack.examples or self.settings.examples, self.settings.seed)
            items = [item_of(task, part.examples[item], "all", {}) for item in beating(chosen)]
            attested = vocabulary(task, part.examples).get(part.language, frozenset())
            self._grounds[place] = Ground(chosen, items, attested, resources, CandidateStore())
        return self._grounds[place]


def attacked(victim: Victim, language: str, ground: Ground, attack: AttackSettings) -> list[Row]:
    """What became of each chosen example: its id, figures before and after, queries, and the text that was found."""
    from perturb.attacked_text import ScriptText
    from perturb.attacker import SearchFailed
    from perturb.attacker import attack as run
    from perturb.goals import figure_falls
    from perturb.recipes import build_recipe
    from perturb.transformation import candidates, modifiable, words_changed

    def make() -> Any:
        unknown = str(victim.model.tokenizer.unk_token or "[UNK]")
        goal = figure_falls(victim, attack)
        return build_recipe(attack, goal, language, ground.resources, attested=ground.attested, unknown=unknown)

    cut = None if attack.recipe.startswith(ENGLISH_WORDS) else language
    texts = [_text(ScriptText, item, cut) for item in ground.items]
    if not ground.candidates:
        tried = make()
        ground.candidates = [candidates(tried, text) for text in beating(texts)]
    examples = [(item.id, text, place) for item, text, place in zip(ground.items, texts, ground.chosen, strict=True)]
    results = run(make, examples, seed=attack.seed, store=ground.store, recipe=attack.recipe)
    rows = []
    for item, text, found, options in zip(ground.items, texts, results, ground.candidates, strict=True):
        if isinstance(found, SearchFailed):
            raise found
        before, after = found.original_result, found.perturbed_result
        open_ = len(modifiable(text, attack.fields))
        rows.append({
            "id": item.id, "clean": before.right, "score": min(before.right, after.right), "attackable": any(options),
            "queries": int(found.num_queries), "changed": words_changed(after.attacked_text) / open_ if open_ else 0.0,
            "text": "\n".join(after.attacked_text.columns),
        })  # fmt: skip
    return rows


def _text(made: Any, item: Item, language: str | None) -> Any:
    columns = OrderedDict((name, text.text) for name, text in item.texts.items())
    spans = {name: text.spans for name, text in item.texts.items() if text.spans is not None}
    fixed = {name: text.fixed for name, text in item.texts.items()}
    return made(columns, {"example": item.id}, language=language, fixed=fixed, spans=spans or None)


def _scores(
    model: Encoder, task: Task, part: EvaluationSet, attack: AttackSettings, ground: Ground, rows: Sequence[Row]
) -> Iterator[Row]:
    """The rows of scores of a set and, of a test set, of its halves."""
    kind = kind_of(task, model)
    portions = [(part.portion, [True] * len(rows))]
    if part.portion == "test":
        half = [in_search_half(kind.unit(part.examples[item])) for item in ground.chosen]
        portions += [("search", half), ("report", [not there for there in half])]
    for portion, keep in portions:
        own = [row for row, there in zip(rows, keep, strict=True) if there]
        options = [found for found, there in zip(ground.candidates, keep, strict=True) if there]
        if not own:
            continue
        told = _figures(FIGURES.get(task.kind, "accuracy"), own, options)
        queries = next((figure.value for figure in told if figure.metric == "queries"), None)
        for place, figure in enumerate(told):
            yield {
                "language": part.language, "portion": portion, "perturbation": f"{ATTACK}{attack.recipe}",
                "severity": 0, "metric": figure.metric, "main": place == 0, "value": figure.value, "n": figure.n,
                "stderr": figure.stderr, "attackability": sum(row["attackable"] for row in own) / len(own),
                "queries": queries,
            }  # fmt: skip


def _figures(name: str, rows: Sequence[Row], options: Sequence[Sequence[int]]) -> list[Figure]:
    clean, after = [row["clean"] for row in rows], [row["score"] for row in rows]
    can = [row["attackable"] for row in rows]
    told = attack_figures(clean, after, can, [row["queries"] for row in rows], [row["changed"] for row in rows])
    words = sum(map(len, options))
    each = sum(map(sum, options)) / words if words else 0.0
    return [mean(name, after), *told, Figure("candidates_per_word", each, len(rows), None)]
