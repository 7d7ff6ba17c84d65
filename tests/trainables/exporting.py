"""What the tests of exports and of shown examples share: a store of short stages, and what its models say."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from functools import cache

import pytest
import torch
from safetensors.torch import save

from trainables import bench as bench_module
from trainables.batches import collate
from trainables.bench import Bench, Workplace
from trainables.data import DataSource
from trainables.evaluate import EvaluationSet, predictions
from trainables.heads import put_heads
from trainables.icl import predict
from trainables.kinds.forms import kind_of
from trainables.kinds.mining import find_pairs
from trainables.methods import method, put_on
from trainables.methods.settings import MethodSettings, icl_settings, scalars
from trainables.stage import WEIGHTS, Stage
from trainables.tasks import load_task

TARGETS = {
    "classification": "mini-xnli", "tagging": "mini-pos", "span": "mini-squad2", "choice": "mini-swag",
    "retrieval": "mini-tatoeba", "mining": "mini-bucc",
}  # fmt: skip
FIRST = "mini-topic"
"""The order: one intermediate task."""

VARIANTS = {
    "full": ("full", {}),
    "probe": ("probe", {}),
    "prompt": ("prompt", {}),
    "prompt, reparameterised": ("prompt", {"prompt": {"form": "reparameterised", "bottleneck": 16}}),
    "prompt, input": ("prompt", {"prompt": {"form": "input"}}),
    "adapter": ("adapter", {"adapter": {"reduction": 4}}),
    "adapter, houlsby": ("adapter", {"adapter": {"form": "houlsby", "reduction": 8}}),
    "adapter, stack": ("adapter", {"adapter": {"along": "stack", "reduction": 4}}),
    "lora": ("lora", {}),
    "lora, all": ("lora", {"lora": {"matrices": ["q", "k", "v", "intermediate", "output"], "layers": [1]}}),
    "lora, merge": ("lora", {"lora": {"along": "merge"}}),
}
LENGTH = 5
"""Of a prompt."""

TRAINING = {"learning_rate": 0.03, "batch_size": 8, "warmup": 1, "weight_decay": 0.0}
LANGUAGES = ["en", "de"]


_data = cache(DataSource)


@contextmanager
def read_once():
    """Benches of the same data share what they have read: making the mini suite's sets is most of a test's time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bench_module, "DataSource", _data)
        yield


def workplace(folder, model, kinds=tuple(TARGETS), limit=16, **more):
    names = {FIRST, "mini-nli", *(TARGETS[kind] for kind in kinds)}
    tasks = {name: load_task(name, "").model_dump(mode="json") for name in sorted(names)}
    languages = {name: [c for c in LANGUAGES if name != "mini-bucc" or c != "en"] for name in names}
    return Workplace(str(folder / "store"), model, tasks, languages, limit=limit, **more)


def settings_of(variant):
    name, fields = VARIANTS[variant]
    return name, scalars(MethodSettings.model_validate(fields), name, LENGTH if name == "prompt" else None)


def stages_of(variant, kinds=tuple(TARGETS), steps=4, **more):
    """The stages of a run, and the score stages among them: an order of one task, then each target."""
    method, own = settings_of(variant)
    first = Stage("train", None, (FIRST,), ("d",), "m", method, {**TRAINING, **own, **more}, steps, 0)
    made, scored = [first], []
    for kind in kinds:
        target, parent = load_task(TARGETS[kind], ""), first
        if target.trained_on:
            settings = {**TRAINING, **own, **more}
            parent = Stage("train", first.key, (target.trained_on,), ("d",), "m", method, settings, steps, 0)
            made.append(parent)
        scored.append(Stage("score", parent.key, (target.name,), ("d",), "m", method, {**own, **more}))
    return made, scored


def trained(place, variant, kinds=tuple(TARGETS), steps=4, **more):
    """Run a candidate's training stages; its score stages, which need not be run."""
    bench = Bench(place)
    made, scored = stages_of(variant, kinds, steps, **more)
    for stage in made:
        bench.run(stage)
    return scored


@torch.no_grad()
def shaken(bench, variant, kinds=tuple(TARGETS), strength=0.3, **more):
    """The same without training, which takes data: what a stage trains is drawn at random."""
    made, scored = stages_of(variant, kinds, **more)
    for stage in made:
        parent, model = bench._weights(stage.parent)[0], bench.model
        torch.manual_seed(stage.random_seed % 2**31)
        put_on(model, stage, parent)
        put_heads(model, [bench._tasks[name] for name in stage.tasks], parent)
        method(stage.method).prepare(model, stage.settings)
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                head = name.startswith("heads.")
                size = weight.shape[-1] ** -0.5 * 2 if head else strength * weight.std() + 0.05
                weight += torch.randn_like(weight) * size
        method(stage.method).finish(model, stage.settings)
        weights = model.tuned()
        bench.store.put(stage.key, {"stage": asdict(stage)}, {WEIGHTS: save(weights)})
        bench._keep(stage.key, weights)
    return scored


@torch.no_grad()
def said(reader, stage, number=6):
    """What the store's model says of some test items, and its scores for their rows of tokens: what is asked, what is
    answered, rows, and scores."""
    ready = reader.ready(stage)
    task, model, kind = ready.task, ready.model, kind_of(ready.task, ready.model)
    asked, answers, rows = [], [], []
    if reader.in_text(task):
        settings, source = icl_settings(stage.settings), reader.demonstrations(stage)
        for language, examples in reader.tests(task).items():
            shots = source.draw(task, language, settings, stage.seed or 0, 1)
            answers.append(predict(model, task, examples[:number], shots, settings, ready.room))
            asked.append([language, _asked(task, examples[:number])])
        return asked, answers, [], []
    for language, examples in reader.tests(task).items():
        if model.language_folder:
            model.speak(language)
        chosen = list(examples) if task.kind in ("retrieval", "mining") else list(examples[:number])
        features = kind.encode(task, chosen, model.tokenizer, ready.longest)
        part = EvaluationSet("test", language, chosen, features)
        own = predictions(model, task, ready.head, [part])[0]
        answers.append(_answers(reader, ready, part, own))
        asked.append([language, _asked(task, chosen)])
        rows.append([row for feature in features[:4] for row in feature.rows])
    return asked, answers, rows, [scores_of(ready, one, code) for one, (code, _) in zip(rows, asked, strict=True)]


def scores_of(ready, rows, language):
    """A model's scores for rows of tokens, read together; of a model without a head its states, without padding."""
    from trainables.kinds.base import Feature

    if ready.model.language_folder:
        ready.model.speak(language)
    batch = collate("", [Feature(n, row) for n, row in enumerate(rows)], int(ready.model.tokenizer.pad_token_id),
                    ready.model.device)  # fmt: skip
    layer = ready.task.retrieval.layer if ready.head is None else -1
    with torch.no_grad():
        states = ready.model.states(batch.ids, batch.mask, layer)
        found = states if ready.head is None else ready.head(states)
    if ready.task.kind == "choice":
        found = found[:, 0]
    if found.dim() == 3:  # padding is read by nobody
        found = found * batch.mask.unsqueeze(-1)
    return found


def _asked(task, examples):
    """The arguments of a card's `predict`, one an example; of mining and retrieval one for all of them."""
    match task.kind:
        case "classification":
            return [[e.text, e.pair] for e in examples]
        case "tagging":
            return [[list(e.words)] for e in examples]
        case "span":
            return [[e.text, e.pair] for e in examples]
        case "choice":
            return [[e.text, list(e.choices), e.pair] for e in examples]
        case "retrieval":
            return [[e.text, [other.pair for other in examples]] for e in examples[:3]]
    sides = [[e.text for e in examples if e.label == side] for side in ("source", "target")]
    return [[*sides, examples[0].lang]]


def _answers(reader, ready, part, own):
    task, examples = ready.task, part.examples
    match task.kind:
        case "tagging":
            tags = [[] for _ in examples]
            for feature, found in zip(part.features, own, strict=True):
                tags[feature.item] += found
            return tags
        case "span":
            return kind_of(task, ready.model).answers(task, examples, part.features, own)
        case "retrieval":
            vectors = torch.stack(own)
            return (vectors[0::2][:3] @ vectors[1::2].T).argmax(-1).tolist()
        case "mining":
            threshold = reader.thresholds(ready)[part.language]
            number = {"source": {}, "target": {}}
            for place, example in enumerate(examples):
                number[example.label][place] = len(number[example.label])
            return [[[number["source"][c.source], number["target"][c.target]]
                     for c in find_pairs(task, examples, own) if c.score >= threshold]]  # fmt: skip
    return own


def decoder_folders(tmp_path_factory, tiny_tokenizer):
    """Folders of tiny decoders with random weights: one of them such that the library `adapters` serves."""
    from transformers import GPT2Config, GPT2LMHeadModel, XGLMConfig, XGLMForCausalLM

    from trainables.new_decoder import decoder_tokenizer

    tokenizer = decoder_tokenizer(tiny_tokenizer)
    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "vocab_size": len(tokenizer)}
    made = {
        "xglm": XGLMForCausalLM(XGLMConfig(
            d_model=32, ffn_dim=64, num_layers=2, attention_heads=2, max_position_embeddings=400, dropout=0.0,
            attention_dropout=0.0, activation_dropout=0.0, layerdrop=0.0, init_std=0.18, **special,
        )),
        "gpt2": GPT2LMHeadModel(GPT2Config(
            n_embd=32, n_layer=2, n_head=2, n_positions=400, initializer_range=0.18, embd_pdrop=0.0, attn_pdrop=0.0,
            resid_pdrop=0.0, **special,
        )),
    }  # fmt: skip
    found = {}
    for name, model in made.items():
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        found[name] = str(folder)
    return found
