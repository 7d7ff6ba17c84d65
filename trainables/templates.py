"""Tasks in text form, as a decoder does them: a template makes a prompt of an example and a continuation of an answer.

Templates are data, a section of a task's file. Neither torch nor transformers is imported here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from trainables.config import Config
from trainables.examples import Example

if TYPE_CHECKING:
    from trainables.tasks import Task

PLACEHOLDERS = {
    "classification": ("text", "pair"),
    "choice": ("text", "pair", "choices"),
    "span": ("text", "pair"),
}
"""The kinds of task that have a text form, and what their templates may say `{…}` of."""

CONTENT_FREE = "N/A"
"""What stands for the texts of a prompt that says nothing (contextual calibration, arXiv 2102.09690)."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_HOLE = re.compile(r"\{([^{}]*)\}")


def _known_holes(text: str) -> str:
    known = sorted({name for names in PLACEHOLDERS.values() for name in names})
    for name in _HOLE.findall(text):
        if name not in known:
            raise ValueError(f"unknown placeholder {{{name}}}; one of {', '.join(f'{{{one}}}' for one in known)}")
    if not _HOLE.search(text):
        raise ValueError("no placeholder: every prompt would be the same; say {text}")
    return text


Pattern = Annotated[str, AfterValidator(_known_holes)]


class Wording(Config):
    """How a task is put in one language: the prompt, and the continuation for each label.

    `unanswerable` is the answer where a question has none. What is left out is as in English.
    """

    text: Pattern | None = None
    answers: dict[str, str] = Field(default_factory=dict)
    unanswerable: str | None = None


class Template(Wording):
    """The English wording, which all languages have that are not listed in `languages`.

    `joiner` stands between demonstrations. The continuation of a label that `answers` does not name is a space and the
    label; that of a choice is a space and its text, or its letter (`choices: letter`); that of a question is a space
    and the answer, ended by a line break.
    """

    text: Pattern
    unanswerable: str = "unanswerable"
    joiner: str = "\n\n"
    choices: Literal["text", "letter"] = "text"
    languages: dict[str, Wording] = Field(default_factory=dict)

    def prompt(self, example: Example, language: str, *, empty: bool = False) -> str:
        """The text before the answer, in the wording of the language; `empty`: with nothing said (`CONTENT_FREE`)."""
        listed = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, example.choices, strict=False))
        texts = {"text": example.text, "pair": example.pair or "", "choices": listed}
        wording = self.languages.get(language)
        pattern = (wording and wording.text) or self.text
        return _HOLE.sub(lambda hole: CONTENT_FREE if empty else texts[hole[1]], pattern)

    def continuations(self, task: Task, example: Example, language: str) -> list[str]:
        """The continuation of each label or choice, in their order; of a question, those of its answers."""
        if task.kind == "classification":
            answers = {**self.answers, **self._of(language).answers}
            return [answers.get(label, f" {label}") for label in task.labels]
        if task.kind == "choice":
            letters = self.choices == "letter"
            return [f" {LETTERS[place] if letters else text}" for place, text in enumerate(example.choices)]
        texts = [answer.text for answer in example.answers] or [self.no_answer(language)]
        return [f" {text.strip()}\n" for text in texts]

    def no_answer(self, language: str) -> str:
        """The answer to a question that has none."""
        return self._of(language).unanswerable or self.unanswerable

    def right(self, task: Task, example: Example) -> int:
        """Which of the continuations is the example's own."""
        if task.kind == "classification":
            return task.labels.index(str(example.label))
        return int(str(example.label)) if task.kind == "choice" else 0

    def demonstration(self, task: Task, example: Example) -> str:
        """An example with its answer and what stands between it and the next."""
        answer = self.continuations(task, example, example.lang)[self.right(task, example)]
        return self.prompt(example, example.lang) + answer.removesuffix("\n") + self.joiner

    def check(self, kind: str, labels: list[str]) -> None:
        """ValueError where the template does not fit a task of this kind with these labels."""
        wordings: Mapping[str, Wording] = {"": self, **{f"languages.{code}.": w for code, w in self.languages.items()}}
        known = PLACEHOLDERS.get(kind)
        if known is None:
            raise ValueError(f"template: a {kind} task has no text form; these have: {', '.join(PLACEHOLDERS)}")
        for where, wording in wordings.items():
            for name in _HOLE.findall(wording.text or ""):
                if name not in known:
                    raise ValueError(f"template.{where}text: {{{name}}} is no part of a {kind} task")
            named = wording.answers if kind == "classification" and not labels else labels
            unknown = [label for label in wording.answers if label not in named]
            if unknown:
                right = f"its labels are {', '.join(labels)}" if labels else f"a {kind} task has no labels"
                raise ValueError(f"template.{where}answers: '{unknown[0]}' is no label of the task; {right}")
            merged = {**self.answers, **wording.answers}
            if len(set(merged.values())) < len(merged):
                raise ValueError(f"template.{where}answers: two labels have the same answer, so neither can be told")
        if self.choices == "letter" and "{choices}" not in self.text:
            raise ValueError("template.choices: where letters are the answers, the text must list {choices}")

    def _of(self, language: str) -> Wording:
        return self.languages.get(language, Wording())


class InContext(Config):
    """How a decoder is scored in context.

    `shots` demonstrations stand before the prompt, drawn `draws` times. `score` says how the log-likelihood of a
    continuation counts: as it is (`sum`), per token or per UTF-8 byte of it, or less that of the same continuation
    after a prompt that says nothing (`pmi`). Generated answers have at most `max_new_tokens` tokens.
    """

    shots: int = Field(4, ge=0, le=64)
    draws: int = Field(3, ge=3, le=100)
    score: Literal["sum", "token", "byte", "pmi"] = "sum"
    max_new_tokens: int = Field(16, ge=1, le=256)


class IclSettings(InContext):
    """The same, with the language of the demonstrations: English training examples (`en`: zero-shot) or examples of the
    target's own language (`target`: few-shot)."""

    demonstrations: Literal["en", "target"] = "en"


def refusal(task: Task) -> str | None:
    """Why a decoder cannot do the task in text form; None where it can."""
    if task.kind not in PLACEHOLDERS:
        return f"'{task.name}' is a {task.kind} task, which has no text form; these have: {', '.join(PLACEHOLDERS)}"
    if task.template is None:
        return f"'{task.name}' has no `template` in its file, so it cannot be put to a decoder (docs/icl.md)"
    return None
