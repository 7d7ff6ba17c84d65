"""What a decoder says after prompts: log-probabilities of given continuations, and greedy generation."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from trainables.batches import TOKENS, collate, scoring_batches
from trainables.decoder import Decoder, Prompt, answer_logprobs
from trainables.kinds.base import Feature
from trainables.precision import forward_pass
from trainables.watch import beat, beating_module


def logprobs(
    model: Decoder, prompts: Sequence[Prompt], lead: Sequence[int] = (), tokens: int = TOKENS
) -> list[list[list[float]]]:
    """For each prompt and each of its answers the log-probabilities of the answer's tokens.

    Prompts that begin with `lead` (demonstrations) share its keys and values, which are computed once. `tokens` bounds
    a batch; with 1 every prompt is scored by itself.
    """
    found: list[list[list[float]]] = [[] for _ in prompts]
    shared = max(0, len(lead) - 2)  # where a demonstration ends, the next text may merge with it to one token
    opening = list(lead[:shared])
    alike = [n for n, prompt in enumerate(prompts) if shared and prompt.ids[:shared] == opening]
    apart = sorted(set(range(len(prompts))) - set(alike))
    for numbers, begun in ((alike, opening), (apart, [])):
        if numbers:
            own = _from([prompts[n] for n in numbers], len(begun))
            for n, rows in zip(numbers, _scored(model, own, begun, tokens), strict=True):
                found[n] = rows
    return found


def _from(prompts: Sequence[Prompt], start: int) -> list[Prompt]:
    return [Prompt(prompt.ids[start:], prompt.answers) for prompt in prompts]


def _scored(model: Decoder, prompts: Sequence[Prompt], begun: list[int], tokens: int) -> list[list[list[float]]]:
    past = _past(model, begun) if begun else None
    # An answer's last token is nowhere read: answers that differ there alone are read from the same row.
    heads = [list(dict.fromkeys(tuple(answer[:-1]) for answer in prompt.answers)) for prompt in prompts]
    features = [
        Feature(n, prompt.ids + list(own[0]), others=[prompt.ids + list(one) for one in own[1:]])
        for n, (prompt, own) in enumerate(zip(prompts, heads, strict=True))
    ]
    found: list[list[list[float]]] = [[] for _ in prompts]
    for chosen in scoring_batches(features, tokens):
        batch = collate("", [features[n] for n in chosen], int(model.tokenizer.pad_token_id), model.device)
        states = _states(model, batch.ids, batch.mask, past, len(begun))
        starts = {row: at for at, row in enumerate((n, head) for n in chosen for head in heads[n])}
        asked = [(n, answer) for n in chosen for answer in prompts[n].answers]
        rows = torch.tensor([starts[n, tuple(answer[:-1])] for n, answer in asked], device=model.device)
        values = iter(
            answer_logprobs(
                model.language_head(), states[rows], [len(prompts[n].ids) for n, _ in asked], [a for _, a in asked]
            )
        )
        for n in chosen:
            found[n] = [next(values) for _ in prompts[n].answers]
    return found


def _past(model: Decoder, ids: list[int]) -> Any:
    row = torch.tensor([ids], device=model.device)
    with forward_pass(model):
        out = model.encoder.base_model(input_ids=row, attention_mask=torch.ones_like(row), use_cache=True)
    return out.past_key_values


def _states(model: Decoder, ids: torch.Tensor, mask: torch.Tensor, past: Any, begun: int) -> torch.Tensor:
    """The last layer's states, each at its own place. In float32, as the log-probabilities that are made of them: those
    of answers rounded to bfloat16 would be equal now and then."""
    if past is not None:
        past = copy.deepcopy(past)
        past.batch_repeat_interleave(len(ids))
        mask = torch.nn.functional.pad(mask, (begun, 0), value=1)
    with forward_pass(model):
        out = model.encoder.base_model(
            input_ids=ids, attention_mask=mask, past_key_values=past, use_cache=past is not None
        )
    states: torch.Tensor = out.last_hidden_state
    return states.float()


def generate(model: Decoder, prompts: Sequence[list[int]], most: int, tokens: int = TOKENS) -> list[str]:
    """What the model says after each prompt, the likeliest token each time, up to a line break or `most` tokens.

    Prompts of equal length are read together, so none is padded; `tokens` bounds a batch.
    """
    ends = model.texts.ends
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=most, do_sample=False, eos_token_id=ends, pad_token_id=int(model.tokenizer.pad_token_id)
    )
    said = [""] * len(prompts)
    for numbers in _equally_long(prompts, tokens):
        ids = torch.tensor([prompts[n] for n in numbers], device=model.device)
        with beating_module(model.encoder), forward_pass(model):
            out = model.encoder.generate(
                ids, attention_mask=torch.ones_like(ids), generation_config=config, use_model_defaults=False
            )
        beat(examples=len(numbers), tokens=ids.numel())
        for n, row in zip(numbers, out[:, ids.shape[1] :].tolist(), strict=True):
            kept = row[: next((at for at, token in enumerate(row) if token in ends), len(row))]
            beat(tokens=len(kept))
            said[n] = model.tokenizer.decode(kept, skip_special_tokens=True).strip()
    return said


def _equally_long(prompts: Sequence[list[int]], tokens: int) -> Iterator[list[int]]:
    """Numbers of prompts in batches of one length each."""
    by_length: dict[int, list[int]] = {}
    for number, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(number)
    for length, numbers in sorted(by_length.items()):
        size = max(1, tokens // length)
        yield from (numbers[at : at + size] for at in range(0, len(numbers), size))
