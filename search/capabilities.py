"""What a model cannot do of what is asked: told at planning, with the reason and the valid range."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainables.errors import Mistake
from trainables.families import FAMILIES, SHORTEST_TEXT, Family, family_of, layers_of, longest_text, width_of
from trainables.language_folder import ENGLISH, LanguageFolder
from trainables.methods import FROZEN, IN_CONTEXT
from trainables.tasks import UNTRAINED
from trainables.templates import PLACEHOLDERS, refusal

if TYPE_CHECKING:
    from perturb.suite import SuiteSettings
    from search.settings import Settings
    from trainables.tasks import Task

Place = Callable[[str], str]


def refusals(
    settings: Settings,
    intermediate: Sequence[Task],
    targets: Sequence[Task],
    config: Mapping[str, Any],
    place: Place,
) -> Iterator[Mistake]:
    """The mistakes of asking a model (its config.json) for methods that it, or a task, does not allow.

    `place` says which flag or file set a key.
    """
    family = family_of(config)
    yield from _text_forms(settings, family, intermediate, targets, config, place)
    if config.get("model_type") == "xmod" and not config.get("default_language"):
        what = "X-MOD must be told each text's language, which is not done here"
        right = "another model, or a copy whose config.json has a default_language, whose modules then read all texts"
        yield Mistake(what, where=place("model"), right=right)
    yield from _freezing(settings, config, place)
    if any(method in FROZEN for method in settings.method) and not family.modules:
        known = ", ".join(sorted({one.name for one in FAMILIES.values() if one.modules}))
        for method in settings.method:
            if method in FROZEN:
                what = f"the method '{method}' does not run on {family.name}: the library `adapters` does not serve it"
                yield Mistake(what, where=place("method"), right=f"full or probe, or a model of {known}")
        return
    yield from _lora(settings, config, place)
    if "prompt" in settings.method:
        yield from _prompts(settings, config, family, place)
    if "adapter" in settings.method and settings.methods.adapter.reduction > width_of(config):
        what = f"an adapter of reduction {settings.methods.adapter.reduction:g} has no width left"
        yield Mistake(
            what, where=place("methods.adapter.reduction"), right=f"1 to {width_of(config)}, the model's width"
        )


def _text_forms(
    settings: Settings,
    family: Family,
    intermediate: Sequence[Task],
    targets: Sequence[Task],
    config: Mapping[str, Any],
    place: Place,
) -> Iterator[Mistake]:
    """What an encoder cannot do in context, and a decoder not in text form."""
    asked = [method for method in settings.method if method in IN_CONTEXT]
    if family.kind == "encoder":
        for method in asked:
            what = f"the method '{method}' needs a decoder, but {family.name} is an encoder: it continues no text"
            right = "a decoder (--model micro-decoder, or a causal LM such as XGLM), or another method"
            yield Mistake(what, where=place("method"), right=right)
        return
    for key, tasks in (("intermediate", intermediate), ("targets", targets)):
        for task in tasks:
            why = refusal(task)
            # In text form or not at all in context; without it a decoder still tags, and compares sentences.
            headed = task.kind in ("tagging", *UNTRAINED) and not (asked and key == "targets")
            if why and not headed:
                yield Mistake(why, where=place(key), right="tasks with a text form (docs/icl.md)")
    yield from _written(settings, targets, config, place)
    for target in targets:
        if asked and settings.methods.icl.shots and not target.trained_on:
            what = f"'{target.name}' has no English training set to draw demonstrations from"
            yield Mistake(what, where=place("methods.icl.shots"), right="0, or other targets")


def _written(settings: Settings, targets: Sequence[Task], config: Mapping[str, Any], place: Place) -> Iterator[Mistake]:
    """Answers for which a decoder has no room: half of what it reads, at least, is the prompt's."""
    prompt = max(settings.prompt_length, default=0) if "prompt" in settings.method else 0
    have, asked = longest_text(config) - prompt, settings.methods.icl.max_new_tokens
    if asked > have // 2 and any(task.kind == "span" for task in targets):
        what = f"an answer of {asked} tokens leaves too few of the model's {have} positions for a prompt"
        yield Mistake(what, where=place("methods.icl.max_new_tokens"), right=f"1 to {have // 2}")


def attack_refusals(
    suites: Mapping[str, SuiteSettings], targets: Sequence[Task], config: Mapping[str, Any], place: Place
) -> Iterator[Mistake]:
    """The mistakes of asking for attacks on what a decoder does in text form."""
    asked = [target.name for target in targets if target.kind in PLACEHOLDERS]
    if family_of(config).kind != "decoder" or not asked:
        return
    for suite in suites.values():
        if suite.attacks:
            what = f"the suite '{suite.name}' has attacks, which are not there for tasks in text form ({asked[0]})"
            right = "a suite of edits alone, such as standard, or an encoder"
            yield Mistake(what, where=place("perturbations"), right=right)


def language_refusals(
    folder: LanguageFolder, trained: Iterable[Task], languages: Iterable[str], config: Mapping[str, Any], place: Place
) -> Iterator[Mistake]:
    """The mistakes of asking for language adapters: of the folder, and of training data that are not English."""
    yield from folder.mistakes(languages, config)
    for task in trained:
        others = [code for code in task.train_languages if code != ENGLISH]
        if others:
            what = (f"'{task.name}' has training data in {', '.join(others)}, but English's language adapter is on "
                    "while training")  # fmt: skip
            right = "tasks with English training data, or no methods.adapter.languages"
            yield Mistake(what, where=place("intermediate"), right=right)


def _freezing(settings: Settings, config: Mapping[str, Any], place: Place) -> Iterator[Mistake]:
    frozen = settings.methods.full.freeze_layers
    if frozen and not {"full", *IN_CONTEXT}.isdisjoint(settings.method):
        have = layers_of(config)
        if frozen > have:
            what = f"{frozen} layers cannot be frozen: the model has {have}"
            yield Mistake(what, where=place("methods.full.freeze_layers"), right=f"0 to {have}")


def _lora(settings: Settings, config: Mapping[str, Any], place: Place) -> Iterator[Mistake]:
    layers = settings.methods.lora.layers
    if "lora" in settings.method and layers != "all":
        have = layers_of(config)
        for layer in layers:
            if layer >= have:
                what = f"LoRA cannot be put on layer {layer}: the model has {have}, counted from 0"
                yield Mistake(what, where=place("methods.lora.layers"), right=f"0 to {have - 1}, or all")


def _prompts(settings: Settings, config: Mapping[str, Any], family: Family, place: Place) -> Iterator[Mistake]:
    most = longest_text(config) - SHORTEST_TEXT
    for length in settings.prompt_length:
        if length > most:
            have = longest_text(config)
            what = f"a prompt of length {length} leaves too few of the model's {have} positions for a text"
            yield Mistake(what, where=place("prompt_length"), right=f"0 to {most}")
    if settings.methods.prompt.form == "input" and family.kind == "decoder":
        what = f"{family.name} takes no prompt of the form 'input'"
        yield Mistake(what, where=place("methods.prompt.form"), right="prefix or reparameterised")
