"""Export one run's models: a folder, whole or not at all."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from trainables.bench import Workplace
from trainables.errors import Mistake
from trainables.export.about import about_model
from trainables.export.card import card
from trainables.export.form import form_of
from trainables.export.modules import BASE, LANGUAGES, copy_base, copy_languages, write_modules
from trainables.export.whole import write_whole
from trainables.language_folder import ENGLISH, spoken
from trainables.model_files import safely
from trainables.stage import Stage
from trainables.stage_reader import Ready, StageReader

ABOUT, CARD, SCORES = "order_search.json", "README.md", "scores.json"

FLAG = "--export-model"


def export_models(
    place: Workplace, stages: Sequence[Stage], folder: Path, scores: Mapping[str, Any], text: str = ""
) -> list[Path]:
    """Write the model of each of a run's score stages to `folder`/TARGET, and `scores` to `folder`/scores.json.

    `stages` are the clean score stages of one candidate at one root seed, one a target. `text` becomes the folder's own
    README.md. Beside the targets stand `base`, the base model, where adapters are for one that is not on the hub, and
    `languages`, the language adapters. The targets' folders are returned.

    Mistake where the folder is not empty, where weights are not in the store, and where the run trained nothing.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Mistake(f"'{folder}' is there already", where=FLAG, right="a new folder, or an empty one")
    if not any(stage.parent for stage in stages):
        what = "nothing was trained in this run: its model is the base model as it is"
        raise Mistake(what, where=FLAG, right=f"the base model itself ({place.model}), or an order with tasks")
    reader = StageReader(place)
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    making.mkdir()
    try:
        targets = [_export(reader, stage, making) for stage in stages]
        _put(making / SCORES, scores)
        if text:
            (making / CARD).write_text(text, "utf-8")
        making.replace(folder)  # over an empty folder, too
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return [folder / name for name in targets]


def _export(reader: StageReader, stage: Stage, folder: Path) -> str:
    """One target's folder; its name."""
    ready = reader.ready(stage)
    form = form_of(ready)
    about = about_model(reader, stage, ready, form)
    own, base = folder / ready.task.name, reader.place.model
    own.mkdir()
    _put(own / ABOUT, about)
    _write_tokenizer(ready, base, own)
    if form.whole:
        write_whole(ready, form, base, about, own)
    else:
        write_modules(ready, form, base, own)
        if "revision" not in about["base"] and not (folder / BASE).exists():
            copy_base(base, folder / BASE)
        if ready.model.language and ready.model.language_folder:
            codes = {ENGLISH, *map(spoken, about["languages"])}
            copy_languages(ready.model.language_folder.path, sorted(codes), folder / LANGUAGES)
    (own / CARD).write_text(card(ready, form, about), "utf-8")
    return ready.task.name


def _write_tokenizer(ready: Ready, base: str, folder: Path) -> None:
    """The base's tokenizer, which cuts texts at the target's length where it is asked to cut."""
    tokenizer = AutoTokenizer.from_pretrained(**safely(base), use_fast=True)  # type: ignore[no-untyped-call]
    tokenizer.model_max_length = ready.longest
    tokenizer.pad_token = ready.model.tokenizer.pad_token  # a decoder's may have none of its own
    tokenizer.save_pretrained(folder)


def _put(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
