"""TextAttack's own recipes by their names, as `textattack:NAME`: for English and for classes alone.

Most of them load models, embeddings or lexicons of their own from the network, which must be there already or be
reachable. To their constraints are added those of every attack here: what is fixed, the fields, the edit budget.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import langcodes

from perturb.edits import Resources
from perturb.edits.base import Keeps
from perturb.errors import BadInput
from perturb.recipes.settings import AttackSettings

if TYPE_CHECKING:
    from textattack import Attack

PROBE = "Anna saw 2 old houses in Paris, and she can't forget them."
"""What a stock recipe is tried on before an attack: some load what they need only when they meet a word."""


@dataclass(frozen=True)
class Stock:
    """A recipe of TextAttack: its class, what it needs besides TextAttack, and why it cannot serve where it cannot."""

    kinds: ClassVar[tuple[str, ...]] = ("classification",)

    name: str
    description: str
    paper: str
    keeps: Keeps
    recipe: str
    needs: str = ""
    never: str = ""

    def exists(self, language: str, resources: Resources | None = None) -> bool:
        """Whether it is for the language: English alone."""
        return not self.never and langcodes.get(language).language == "en"

    def build(self, settings: AttackSettings, goal_function: Any, language: str) -> Attack:
        """The attack, its goal replaced. BadInput where it does not serve, or lacks what it needs."""
        self.check(settings, language)
        return import_module("perturb.recipes.building").stock(self, goal_function, settings)

    def check(self, settings: AttackSettings, language: str = "en") -> None:
        """BadInput where it cannot serve, in whatever place."""
        if self.never:
            raise BadInput(f"'{self.name}' cannot be used here: {self.never}", where="recipe")
        if not self.exists(language):
            raise BadInput(f"'{self.name}' is for English, not for '{language}'", where="recipe")
        if settings.most != AttackSettings.model_fields["most"].default:
            raise BadInput(f"'{self.name}' has its own number of candidates", where="most")


_EMBEDDING = "TextAttack's counter-fitted word embeddings"
_ENCODER = "the package tensorflow_hub and the Universal Sentence Encoder"
_TAGGER = "NLTK's tagger"
_WORDNET = "NLTK's wordnet and omw-1.4"
_GOAL = "it is for another goal than a wrong class"

STOCK: dict[str, Stock] = {
    f"textattack:{one.name}": replace(one, name=f"textattack:{one.name}")
    for one in (
        Stock("deepwordbug", "letters of the words that matter most", "arXiv 1801.04354", "form", "DeepWordBugGao2018"),
        Stock("pruthi", "typos", "arXiv 1905.11268", "form", "Pruthi2019"),
        Stock(
            "textbugger", "letters and near words", "arXiv 1812.05271", "stress", "TextBuggerLi2018",
            f"{_EMBEDDING}; {_ENCODER}",
        ),
        Stock(
            "bad-characters", "look-alikes, by differential evolution", "arXiv 2106.09898", "form",
            "BadCharacters2021", "", "TextAttack's package lacks the table of look-alikes that it reads",
        ),
        Stock(
            "textfooler", "near words", "arXiv 1907.11932", "stress", "TextFoolerJin2019",
            f"{_EMBEDDING}; {_TAGGER}; {_ENCODER}",
        ),
        Stock("pwws", "synonyms", "ACL P19-1103", "meaning", "PWWSRen2019", _WORDNET),
        Stock("leap", "synonyms, by particle swarm", "arXiv 2308.11284", "meaning", "LEAP2023", _WORDNET),
        Stock("pso", "words of the same sememes, by particle swarm", "ACL 2020.acl-main.540", "stress", "PSOZang2020",
         "TextAttack's HowNet candidates"),
        Stock("bae", "what a masked model puts in", "arXiv 2004.01970", "stress", "BAEGarg2019",
         f"bert-base-uncased; {_TAGGER}; {_ENCODER}"),
        Stock("bert-attack", "what a masked model puts in", "arXiv 2004.09984", "stress", "BERTAttackLi2020",
         f"bert-base-uncased; {_ENCODER}"),
        Stock("clare", "what a masked model puts in, adds or merges", "arXiv 2009.07502", "stress", "CLARE2020",
         f"distilroberta-base; {_ENCODER}"),
        Stock("alzantot", "near words, by a genetic algorithm", "arXiv 1804.07998", "stress",
         "GeneticAlgorithmAlzantot2018", f"{_EMBEDDING}; TextAttack's Google language model"),
        Stock("faster-alzantot", "near words, by a genetic algorithm", "arXiv 1909.00986", "stress",
         "FasterGeneticAlgorithmJia2019", f"{_EMBEDDING}; TextAttack's L2W language model"),
        Stock("iga", "near words, by a genetic algorithm", "arXiv 1909.06723", "stress", "IGAWang2019", _EMBEDDING),
        Stock("kuleshov", "near words", "OpenReview r1QZ3zbAZ", "stress", "Kuleshov2017", f"{_EMBEDDING}; gpt2"),
        Stock("checklist", "contractions, names, numbers, places", "arXiv 2005.04118", "stress", "CheckList2020",
         "Flair's tagger of names"),
        Stock("a2t", "near words by gradients", "arXiv 2109.00544", "stress", "A2TYoo2021", "",
         "it needs the victim's gradients"),
        Stock("hotflip", "letters by gradients", "arXiv 1712.06751", "form", "HotFlipEbrahimi2017", "",
         "it needs the victim's gradients"),
        Stock("input-reduction", "words left out", "arXiv 1804.07781", "stress", "InputReductionFeng2018", "", _GOAL),
        Stock("morpheus", "inflections", "ACL 2020.acl-main.263", "stress", "MorpheusTan2020", "", _GOAL),
        Stock("seq2sick", "near words", "arXiv 1803.01128", "stress", "Seq2SickCheng2018BlackBox", "", _GOAL),
    )
}  # fmt: skip
