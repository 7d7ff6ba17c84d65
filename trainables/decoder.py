"""A decoder (causal language model) in a worker's memory, and the text it is given: prompts, answers, what is cut."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from trainables.errors import Mistake
from trainables.models import Encoder


class LanguageHead(nn.Module):
    """A decoder's own output layer as a task's head.

    It holds no weights of its own: those are the decoder's, trained and stored with it.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self._layer = [layer]  # a list, so that it is no module of this one

    def forward(self, states: Tensor) -> Tensor:
        """A score for every token of the vocabulary, … × vocabulary, from states, … × width."""
        scores: Tensor = self._layer[0](states)
        return scores


class Decoder(Encoder):
    """A causal LM with everything that an `Encoder` has; `encoder` is the whole model, its output layer included.

    Padding stands on the right, and the mask leaves it out, so it changes nothing.
    """

    def __init__(self, path: str, device: str = "cpu") -> None:
        """As `Encoder`. A tokenizer without padding pads with its end of text. Mistake where the model has more between
        its states and its scores than an output layer."""
        super().__init__(path, device)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.unk_token
        for name, tensor in self._twins().items():
            self._base[name] = self._base[tensor]  # tied weights are kept once
        self.base_layers = 0
        self._check()

    def _load(self) -> nn.Module:
        model: nn.Module = AutoModelForCausalLM.from_pretrained(**self._source)
        return model

    @property
    def embeddings(self) -> nn.Module:
        """The word embeddings (with the output layer, where the two are tied)."""
        found: nn.Module = self.encoder.get_input_embeddings()
        return found

    @cached_property
    def texts(self) -> Texts:
        """How texts become tokens of this model."""
        return Texts(self.tokenizer)

    def language_head(self) -> LanguageHead:
        """The output layer, to be put on as a head."""
        return LanguageHead(self.encoder.get_output_embeddings())

    def states(self, ids: Tensor, mask: Tensor, layer: int = -1) -> Tensor:
        """Hidden states of a layer (-1: the last; 0: the embeddings), batch × length × width, each at its own token.

        The first token of a causal model has seen nothing of the text: who reads the text at position 0 asks for
        `last_first` of them.
        """
        if layer == -1:
            last: Tensor = self.encoder.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
            return last
        return self.all_states(ids, mask)[layer]

    def all_states(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Hidden states of all layers, the embeddings first, each as `states` gives them."""
        found: tuple[Tensor, ...] = self.encoder.base_model(
            input_ids=ids, attention_mask=mask, output_hidden_states=True
        ).hidden_states
        return found

    def token_logprobs(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The log-probability of each token after those before it, batch × length; 0 for the first and for padding."""
        logits = self.encoder(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        found = logits.log_softmax(-1).gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
        return nn.functional.pad(found * mask[:, 1:], (1, 0))

    @torch.no_grad()
    def reset(self, weights: Mapping[str, Tensor] | None = None) -> None:
        """The base model again, then a stage's weights laid over it; tied weights stand there once."""
        super().reset(weights)
        for name, parameter in self.encoder.named_parameters():
            parameter.copy_((weights or {}).get(f"encoder.{name}", self._base[name]))
        self.base_layers = 0  # its layers fill a cache of keys and values, so none is passed over

    def _twins(self) -> dict[str, str]:
        """Second names of tied weights → the name they are stored by."""
        own = self.encoder.state_dict(keep_vars=True)
        first = {id(parameter): name for name, parameter in self.encoder.named_parameters()}
        return {n: first[id(t)] for n, t in own.items() if id(t) in first and first[id(t)] != n}

    @torch.no_grad()
    def _check(self) -> None:
        ids = torch.tensor([[self.tokenizer.eos_token_id or 0] * 2], device=self.device)
        self.encoder.eval()
        whole = self.encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        states = self.encoder.base_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        if not torch.allclose(whole.float(), self.language_head()(states).float(), rtol=1e-4, atol=1e-4):
            what = f"a model of type {self.encoder.config.model_type} changes its scores after the output layer"
            right = "a causal LM whose scores are its output layer's (XGLM, BLOOM, Qwen)"
            raise Mistake(what, where="--model", right=right)


def last_first(states: Tensor, mask: Tensor) -> Tensor:
    """The states with that of each row's last token in place of the first one's: of a causal model's tokens it alone
    has seen the whole text."""
    last = states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
    return torch.cat([last.unsqueeze(1), states[:, 1:]], 1)


# --- texts ------------------------------------------------------------------------------------------------------------


class Texts:
    """From texts to tokens as a decoder reads them.

    A text begins with the special tokens that the tokenizer puts before one; nothing ends it. Where a tokenizer has no
    line breaks (XGLM's reads them as spaces), its end of text stands for them, which is what XGLM was trained with.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        encoded = tokenizer("a")["input_ids"]
        own = tokenizer("a", add_special_tokens=False)["input_ids"]
        at = next((i for i in range(len(encoded)) if encoded[i : i + len(own)] == own), 0)
        self.begin: list[int] = list(encoded[:at])
        lines = tokenizer.decode(tokenizer("a\nb", add_special_tokens=False)["input_ids"])
        self.line_break = "\n" if "\n" in lines else str(tokenizer.eos_token)

    def prompt(self, text: str) -> list[int]:
        """The tokens of a prompt."""
        return [*self.begin, *self.continuation(text)]

    def continuation(self, text: str) -> list[int]:
        """The tokens of a continuation, which are the same whatever stands before it."""
        if self.line_break != "\n":
            text = re.sub(r"\n+", self.line_break, text)
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    @cached_property
    def ends(self) -> list[int]:
        """The tokens that end an answer: the end of text, and all that spell a line break."""
        tokenizer = self.tokenizer
        ends = {i for i in range(len(tokenizer)) if "\n" in tokenizer.decode([i])}
        return sorted(ends | ({int(tokenizer.eos_token_id)} if tokenizer.eos_token_id is not None else set()))


class Prompt(NamedTuple):
    """The tokens of a prompt and those of its possible continuations; `dropped` is how many demonstrations, the first
    ones, had no room in it."""

    ids: list[int]
    answers: list[list[int]]
    dropped: int = 0


def answer_logprobs(
    head: nn.Module, states: Tensor, starts: Sequence[int], answers: Sequence[Sequence[int]]
) -> list[list[float]]:
    """Log-probabilities of the tokens of one answer a row; `states` is rows × length × width.

    An answer is read from the state before its first token (at `starts` - 1) on.
    """
    rows = [row for row, answer in enumerate(answers) for _ in answer]
    places = [start - 1 + k for start, answer in zip(starts, answers, strict=True) for k in range(len(answer))]
    tokens = torch.tensor([token for answer in answers for token in answer], device=states.device)
    found = head(states[rows, places]).float().log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    values = iter(found.tolist())
    return [[next(values) for _ in answer] for answer in answers]
