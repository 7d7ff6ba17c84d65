"""What must be known to use an exported model, as data: the content of `order_search.json`."""

from __future__ import annotations

from typing import Any

from trainables.decoder import Decoder
from trainables.export.form import Form, module_name
from trainables.export.modules import named_base
from trainables.kinds.base import PairFrame, TextFrame
from trainables.methods.settings import icl_settings
from trainables.stage import Stage
from trainables.stage_reader import Ready, StageReader

FORMAT = 1
"""Raised whenever the meaning of a key changes."""


def about_model(reader: StageReader, stage: Stage, ready: Ready, form: Form) -> dict[str, Any]:
    """All that a prediction hangs on besides the weights; sizes in tokens, layers counted from 0 for the embeddings."""
    task, model = ready.task, ready.model
    found: dict[str, Any] = {
        "format": FORMAT, "task": task.name, "kind": task.kind, "labels": task.labels, "metric": task.metric,
        "languages": reader.languages(task), "max_length": ready.longest, "method": stage.method,
        "stage": stage.key, "weights": stage.parent, "loader": form.loader, "head": form.head,
        "special_tokens": _frame(ready, reader.in_text(task)), "prompt_rows": model.prompt_rows,
    }  # fmt: skip
    if not form.whole:
        modules = [*form.below, module_name(task.name)] if model.modules_on else []
        found |= {"base": named_base(reader.place.model), "adapters": modules}
        found["language_adapters"] = model.language is not None
    return found | _of_kind(reader, stage, ready)


def _frame(ready: Ready, in_text: bool) -> dict[str, list[int]]:
    """What stands around a text, or around and between the two of a pair."""
    if isinstance(ready.model, Decoder) and in_text:
        return {"start": ready.model.texts.begin, "between": [], "end": []}
    if ready.task.kind in ("span", "choice"):
        return PairFrame.of(ready.model.tokenizer)._asdict()
    text = TextFrame.of(ready.model.tokenizer)
    return {"start": text.start, "between": [], "end": text.end}


def _of_kind(reader: StageReader, stage: Stage, ready: Ready) -> dict[str, Any]:
    task, model = ready.task, ready.model
    if reader.in_text(task):
        return _in_text(reader, stage, ready)
    match task.kind:
        case "tagging":
            return {"tagging": _tagging(ready)}
        case "span":
            return {"span": task.span.model_dump()}
        case "retrieval" | "mining":
            vectors = task.retrieval.model_dump()
            if isinstance(model, Decoder) and vectors["pooling"] == "first":
                vectors["pooling"] = "last"  # of a causal model's tokens it alone has seen the whole text
            mining = {"mining": {**task.mining.model_dump(), "thresholds": reader.thresholds(ready)}}
            return {"retrieval": vectors, **(mining if task.kind == "mining" else {})}
    return {}


def _tagging(ready: Ready) -> dict[str, Any]:
    tokenizer = ready.model.tokenizer
    unknown = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.pad_token_id
    blank = tokenizer.convert_tokens_to_ids("▁")
    rule = "a word's tag is read from its first piece, from the second where the first is a lone '▁'"
    return {"rule": rule, "unknown_id": unknown, "blank_id": None if blank == unknown else blank}


def _in_text(reader: StageReader, stage: Stage, ready: Ready) -> dict[str, Any]:
    """How the task is put into words, and the demonstrations that stand before a prompt: by language and draw."""
    task, model, settings = ready.task, ready.model, icl_settings(stage.settings)
    if not isinstance(model, Decoder) or task.template is None:
        raise TypeError("a task in text form needs a decoder and a template")
    source, template = reader.demonstrations(stage), task.template
    shown = {
        language: [
            [template.demonstration(task, e) for e in source.draw(task, language, settings, stage.seed or 0, n + 1)]
            for n in range(settings.draws if settings.shots else 1)
        ]
        for language in reader.languages(task)
    }
    return {
        "room": ready.room, "template": template.model_dump(), "scored_by": settings.score,
        "max_new_tokens": settings.max_new_tokens, "demonstrations": shown, "line_break": model.texts.line_break,
        "may_be_unanswerable": task.span.may_be_unanswerable,
    }  # fmt: skip
