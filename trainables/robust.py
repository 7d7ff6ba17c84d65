"""Robust training: the loss on perturbed word embeddings (Huang et al. 2021, arXiv 2104.08645).

Words of other languages lie near, not on, the embeddings of their translations. A model that is trained to give the
right answer everywhere in a small ball around each token's embedding should therefore transfer better.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainables.models import Encoder, Weights
from trainables.stage import Scalar

STRIDE = 2.5
"""Radii that all steps of an attack may go together, so that it reaches the ball's edge from wherever it turns."""


class RobustLoss:
    """The loss of a batch with every token's embedding moved within an L2 ball.

    `adversarial` moves them to where projected gradient ascent finds the loss greatest, `smoothing` by a perturbation
    drawn uniformly from the ball. Special tokens and padding stay where they are. The radius is `robust_epsilon` times
    the mean norm of the word-embedding rows as the first batch finds them. Dropout is the same in every pass of a step
    and draws from the global generator as often as training without this would.
    """

    def __init__(self, settings: Mapping[str, Scalar], seed: int) -> None:
        """`settings` are a stage's (`Robust.scalars`); `seed` is what every random number here comes from."""
        self._kind = settings["robust"]
        if self._kind not in ("adversarial", "smoothing"):
            raise ValueError(f"robust: adversarial and smoothing are known, but {self._kind!r} was given")
        self._epsilon = float(settings["robust_epsilon"] or 0.0)
        self._steps = int(settings.get("robust_steps") or 1)
        self._share = float(settings["robust_share"] or 0.0)
        # Of its own: seeded as the stage is, the numbers would be those that the heads begin with.
        self._seed = int.from_bytes(hashlib.sha256(f"robust {seed}".encode()).digest()[:8]) >> 1
        self._generator: torch.Generator | None = None
        self._radius: float | None = None

    def __call__(
        self, model: Encoder, forward: Callable[[], Tensor], mask: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """The loss to go back from. `forward` computes the batch's loss, `mask` (rows × length) is 0 for padding.

        Of a part of a batch `noise` is the part's share of the whole batch's (`noise`); without it, it is drawn here.
        No parameter's `.grad` is touched. ValueError where `forward` embeds other tokens than the mask is for.
        """
        words: nn.Embedding = model.encoder.get_input_embeddings()
        radius = self.radius(words)
        shape = (*mask.shape, words.weight.shape[1])
        special = _special(model).to(mask.device)

        def perturbed(delta: Tensor) -> Tensor:
            with _added(words, delta, mask, special):
                return forward()

        drawn = self.noise(model, *mask.shape) if noise is None else noise
        delta = self._worst(perturbed, torch.zeros(shape, device=mask.device), radius) if drawn is None else drawn
        if self._share == 1:
            return perturbed(delta)
        with _same_dropout(mask.device):
            noisy = perturbed(delta)
        return (1 - self._share) * forward() + self._share * noisy

    def noise(self, model: Encoder, rows: int, length: int) -> Tensor | None:
        """What smoothing adds to a batch's embeddings, rows × length × width; None of the other kind, which draws
        nothing. A batch that is trained on in parts has one, so that what is drawn does not depend on the parts."""
        if self._kind != "smoothing":
            return None
        words: nn.Embedding = model.encoder.get_input_embeddings()
        shape = (rows, length, words.weight.shape[1])
        return uniform_in_ball(shape, self.radius(words), self._generator_on(model.device))

    def radius(self, words: nn.Embedding) -> float:
        """The radius of a token's ball, the same for the whole stage."""
        if self._radius is None:
            self._radius = self._epsilon * float(words.weight.detach().float().norm(dim=1).mean())
        return self._radius

    def state(self) -> Weights:
        """What a longer training of the same stage goes on from: the radius, and where the random numbers stand."""
        found = {} if self._radius is None else {"robust_radius": torch.tensor(self._radius, dtype=torch.float64)}
        return found | ({"robust_rng": self._generator.get_state()} if self._generator else {})

    def restore(self, state: Mapping[str, Tensor], device: torch.device) -> None:
        """Go on from a `state`; what else it holds is passed over."""
        if "robust_radius" in state:
            self._radius = float(state["robust_radius"])
        if "robust_rng" in state:
            self._generator_on(device).set_state(state["robust_rng"].cpu())

    def _worst(self, perturbed: Callable[[Tensor], Tensor], delta: Tensor, radius: float) -> Tensor:
        """Projected gradient ascent, each token in its own ball (Madry et al. 2018), from the clean embeddings."""
        stride = radius * STRIDE / self._steps
        for _ in range(self._steps):
            delta.requires_grad_(True)
            with _same_dropout(delta.device), torch.enable_grad():
                (gradient,) = torch.autograd.grad(perturbed(delta), delta)
            delta = into_ball(delta.detach() + stride * _unit(gradient), radius)
        return delta

    def _generator_on(self, device: torch.device) -> torch.Generator:
        if self._generator is None:
            self._generator = torch.Generator(device).manual_seed(self._seed)
        return self._generator


def uniform_in_ball(shape: tuple[int, ...], radius: float, generator: torch.Generator) -> Tensor:
    """Vectors (the last dimension) drawn uniformly from an L2 ball."""
    *outer, width = shape
    direction = _unit(torch.randn(shape, generator=generator, device=generator.device))
    share = torch.rand((*outer, 1), generator=generator, device=generator.device)
    found: Tensor = direction * radius * share ** (1 / width)
    return found


def into_ball(vectors: Tensor, radius: float) -> Tensor:
    """Each vector, or the nearest one of an L2 ball."""
    norms: Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors * (radius / norms.clamp(min=radius))


def _unit(vectors: Tensor) -> Tensor:
    """Vectors of length 1; those of length 0 stay."""
    norms: Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors / norms.clamp(min=torch.finfo(vectors.dtype).tiny)


def _special(model: Encoder) -> Tensor:
    """Tokens that stand for no word. An unknown word is one."""
    tokenizer = model.tokenizer
    return torch.tensor(sorted(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}))


@contextmanager
def _added(words: nn.Embedding, delta: Tensor, mask: Tensor, special: Tensor) -> Iterator[None]:
    """The word embeddings with `delta` (rows × length × width) added, but for special tokens and padding."""
    calls = 0

    def add(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        ids = inputs[0]
        if ids.shape != mask.shape:
            raise ValueError(f"tokens of the shape {tuple(ids.shape)} are embedded, not {tuple(mask.shape)}")
        moved = mask.bool() & ~torch.isin(ids, special)
        return output + (delta * moved.unsqueeze(-1)).to(output.dtype)

    handle = words.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
    if not calls:
        raise ValueError("the loss was computed without embedding any tokens")


@contextmanager
def _same_dropout(device: torch.device) -> Iterator[None]:
    """A pass that leaves the global generators as they were, so that the next one draws the same dropout."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
