"""A tokenizer in XLM-R's form, trained on a corpus: a unigram model that can spell any Unicode text.

What the vocabulary lacks is spelled in bytes, so a perturbed word is never one `<unk>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import XLMRobertaTokenizerFast

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def train_tokenizer(texts: Iterable[str], vocabulary: int, max_length: int = 512) -> XLMRobertaTokenizerFast:
    """A tokenizer of at most `vocabulary` pieces, 256 of them single bytes; ids 0 to 3 as in XLM-R, `<mask>` last."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary - 256 - 1, special_tokens=SPECIAL, unk_token="<unk>", max_piece_length=16,  # noqa: S106
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.model = _with_bytes(tokenizer)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return XLMRobertaTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_length)  # type: ignore[no-untyped-call]


def _with_bytes(tokenizer: Tokenizer) -> models.Unigram:
    """The trained pieces and the 256 bytes, which score below every piece and so are used last."""
    vocabulary = [tuple(entry) for entry in json.loads(tokenizer.to_str())["model"]["vocab"]]
    lowest = min(score for _, score in vocabulary) - 10.0
    vocabulary += [(f"<0x{byte:02X}>", lowest) for byte in range(256)]
    return models.Unigram(vocabulary, unk_id=SPECIAL.index("<unk>"), byte_fallback=True)
