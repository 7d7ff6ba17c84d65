"""Words by what a masked language model would put in their place.

Garg and Ramakrishnan, 2020: BAE, arXiv 2004.01970. Li et al., 2021: CLARE, arXiv 2009.07502. Both keep Latin words
alone; here a word is replaced by words of its language's own script, whichever that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from perturb.edits.base import Edit, Site, Text
from perturb.lexicon import folded, restored
from perturb.script import known, mostly_in, spaced
from perturb.segment import words

Fill = Callable[[list[str], int], list[list[str]]]
"""Texts with one mask each, and how many pieces to give → for each text the likeliest pieces for its mask, best first,
each with a space before it where it begins a word, as a SentencePiece tokenizer decodes them."""

CONTEXT = 32
"""Words of a text that the model sees before and after the mask."""

_REMEMBERED = 1 << 15


class MaskedLM(Edit):
    """A word by the whole words that a masked language model finds likeliest in its place."""

    name = "masked-lm"
    description = "a word by what a masked language model puts in its place"
    keeps = "stress"
    source = "Garg and Ramakrishnan 2020 (BAE); Li et al. 2021 (CLARE)"

    def __init__(self, fill: Fill, mask: str, most: int = 16) -> None:
        """`mask`: the model's mask token; `most`: words to offer for a place."""
        self._fill, self._mask, self._most = fill, mask, most
        self._remembered: dict[str, list[str]] = {}

    def exists(self, language: str) -> bool:
        """Wherever the language's script is known: the model says what there is."""
        return known(language)

    def sites(self, text: Text) -> Iterator[Site]:
        """Every word of the language's own script. All words of a text are one call of the model."""
        places = [place for place, (start, end) in enumerate(text.words) if self._may_go(text, start, end)]
        masked = [self._masked(text, place) for place in places] if self._mask not in text.text else []
        for place, pieces in zip(places, self._filled(masked), strict=False):
            start, end = text.words[place]
            if options := self._options(pieces, text, start, end):
                yield Site(start, end, options)

    def _may_go(self, text: Text, start: int, end: int) -> bool:
        word = text.text[start:end]
        plain = mostly_in(word, text.language) and not any(c.isdigit() for c in word)
        return plain and not text.is_fixed(start, end)

    def _masked(self, text: Text, place: int) -> str:
        """The text about a word, which is masked."""
        spans = text.words
        start, end = spans[place]
        first = spans[place - CONTEXT][0] if place > CONTEXT else 0
        last = spans[place + CONTEXT][1] if place + CONTEXT < len(spans) - 1 else len(text.text)
        return f"{text.text[first:start]}{self._mask}{text.text[end:last]}"

    def _filled(self, masked: list[str]) -> list[list[str]]:
        """What the model finds likeliest for each: four times as many as are wanted, for not all are whole words."""
        new = [one for one in dict.fromkeys(masked) if one not in self._remembered]
        answers = dict(zip(new, self._fill(new, 4 * self._most), strict=True)) if new else {}
        found = [answers[one] if one in answers else self._remembered[one] for one in masked]
        self._remembered |= answers
        while len(self._remembered) > _REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        return found

    def _options(self, pieces: list[str], text: Text, start: int, end: int) -> list[str]:
        """The pieces that are words of the language's script, and not the one that stood there."""
        word = text.text[start:end]
        begins = start == 0 or text.text[start - 1].isspace()
        found: dict[str, None] = {}
        for piece in pieces:
            new = restored(piece.strip(), word, text.language)
            begun = piece[:1].isspace() == begins or not spaced(text.language)
            whole = words(new, text.language) == ((0, len(new)),) and mostly_in(new, text.language) and new[0].isalpha()
            other = folded(new, text.language) != folded(word, text.language)
            if begun and whole and other and not any(c.isdigit() for c in new):
                found[new] = None
        return list(found)[: self._most]


def fill_by(model: Any, tokenizer: Any, batch: int = 32) -> Fill:
    """The pieces that a masked language model of `transformers` finds likeliest, on the device it is on."""
    import torch

    pieces = _pieces(tokenizer)
    special = set(tokenizer.all_special_ids)

    @torch.inference_mode()
    def fill(texts: list[str], most: int) -> list[list[str]]:
        found: list[list[str]] = []
        for at in range(0, len(texts), batch):
            inputs = tokenizer(texts[at : at + batch], padding=True, truncation=True, return_tensors="pt")
            inputs = inputs.to(model.device)
            at_mask = inputs["input_ids"] == tokenizer.mask_token_id
            logits = model(**inputs).logits[torch.arange(len(at_mask)), at_mask.float().argmax(1)].float()
            scores, numbers = logits[:, : len(pieces)].topk(min(2 * most, len(pieces)))
            for row, places in zip(scores.tolist(), numbers.tolist(), strict=True):
                # Equal but for the last digits, which depend on the batch: by number, so the order does not.
                ranked = sorted(zip(row, places, strict=True), key=lambda one: (-round(one[0], 3), one[1]))
                found.append([pieces[n] for _, n in ranked if n not in special][:most])
        return found

    return fill


def _pieces(tokenizer: Any) -> list[str]:
    """A tokenizer's pieces, each with a space before it where it begins a word: WordPiece marks those that do not,
    byte-level BPE writes bytes as letters, SentencePiece has a sign for the space."""
    pieces: list[str] = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    if any(piece.startswith("##") for piece in pieces):
        return [piece[2:] if piece.startswith("##") else f" {piece}" for piece in pieces]
    if any(piece.startswith("Ġ") for piece in pieces):
        return [tokenizer.convert_tokens_to_string([piece]) for piece in pieces]
    return [piece.replace("▁", " ") for piece in pieces]
