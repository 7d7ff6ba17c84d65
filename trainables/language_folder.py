"""A folder of language adapters, one a language (MAD-X, arXiv 2005.00052), as the library `adapters` writes them.

`DIR/de/adapter_config.json` and `DIR/de/adapter.safetensors`: what `python -m trainables.language_adapters` makes, and
what AdapterHub has. Files are looked at without torch, so that planning stays quick.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.errors import Mistake
from trainables.families import width_of
from trainables.languages import sides
from trainables.model_files import check_weights
from trainables.untrusted import read_json, regular

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter.safetensors", "pytorch_adapter.bin"

LANGUAGE = "language"
"""The name of the module in the model, whichever language's weights are in it."""

ENGLISH = "en"
"""What is trained on, so whose adapter is on while training."""


def spoken(code: str) -> str:
    """Whose adapter reads texts in a language: of a pair of texts in two languages (`es-ru`) the first one's."""
    return (sides(code) or (code,))[0]


class LanguageFolder:
    """The language adapters of a folder. What has been read stays in memory."""

    def __init__(self, path: str, where: str = "methods.adapter.languages") -> None:
        """`where` names the flag or the file and key that gave the path. Mistake where there is no such folder."""
        self.path, self._where = Path(path).expanduser().resolve(), where
        if not self.path.is_dir():
            right = "a folder made by `python -m trainables.language_adapters`, or one of AdapterHub's adapters"
            raise Mistake(f"there is no folder '{path}'", where=where, right=right)
        self._digests: dict[str, str] = {}
        self._weights: dict[str, dict[str, Tensor]] = {}

    @cached_property
    def languages(self) -> list[str]:
        """Those that have an adapter: the names of the folders in it."""
        return sorted(file.parent.name for file in self.path.glob(f"*/{CONFIG}"))

    def mistakes(self, wanted: Iterable[str], model: Mapping[str, Any]) -> Iterator[Mistake]:
        """What keeps the adapters from being put on a model (its config.json) for the languages that are wanted."""
        needed = list(dict.fromkeys((ENGLISH, *wanted)))
        lacking = [code for code in needed if code not in self.languages]
        if lacking:
            there = ", ".join(self.languages) or "none"
            what = f"{', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no language adapter; there: {there}"
            right = f"one for English and for each test language: {self.path.name}/{lacking[0]}, or fewer --languages"
            yield Mistake(what, where=self._where, right=right)
        first: Mapping[str, Any] | None = None
        for code in (code for code in needed if code not in lacking):
            found = self._unusable(code, model)
            if found:
                yield found
                continue
            own = self.about(code)["config"]
            first = own if first is None else first
            if own != first:
                differing = sorted(key for key in {*own, *first} if own.get(key) != first.get(key))
                what = f"the adapter of '{code}' is built otherwise than those before it ({', '.join(differing)})"
                yield self._mistake(code, what, "adapters of one configuration, since one takes another's place")

    def _unusable(self, code: str, model: Mapping[str, Any]) -> Mistake | None:
        """What is wrong with one language's adapter taken alone."""
        folder = self.path / code
        if not (folder / WEIGHTS).is_file():
            if (folder / PICKLE).is_file():
                what = f"the adapter of '{code}' is a pickle ({PICKLE}), which may run code of others when it is read"
                right = f"{WEIGHTS}: load it where you trust it, save it with save_adapter(…, use_safetensors=True)"
                return self._mistake(code, what, right)
            return self._mistake(code, f"the adapter of '{code}' has no weights", f"a file {WEIGHTS} beside {CONFIG}")
        try:
            about = self.about(code)
        except (OSError, ValueError) as error:
            return self._mistake(code, f"{CONFIG} cannot be read: {error}", "what the library `adapters` writes")
        try:
            check_weights(folder / WEIGHTS, f"{self._where}, {self.path.name}/{code}")
        except Mistake as mistake:
            return mistake
        config = about.get("config") if isinstance(about, dict) else None
        if not isinstance(config, dict) or config.get("architecture") or "reduction_factor" not in config:
            return self._mistake(code, f"the adapter of '{code}' is no bottleneck adapter", "one made as `seq_bn_inv`")
        for key, own in (("model_type", model.get("model_type")), ("hidden_size", width_of(model))):
            if about.get(key) != own:
                what = f"the adapter of '{code}' is for another model: its {key} is {about.get(key)}"
                return self._mistake(code, what, f"adapters of the study's model, whose {key} is {own}")
        return None

    def about(self, language: str) -> Any:
        """A language's adapter_config.json. ValueError where it is no JSON."""
        return read_json(self.path / language / CONFIG)

    def fingerprint(self, languages: Iterable[str]) -> str:
        """16 hexadecimal digits over the files of these languages' adapters and of English's."""
        told = "\n".join(f"{code} {self._digest(code)}" for code in sorted({ENGLISH, *languages}))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def _digest(self, code: str) -> str:
        if code not in self._digests:
            try:
                files = [regular(self.path / code / name).read_bytes() for name in (CONFIG, WEIGHTS)]
            except OSError as error:
                what = f"'{code}' has no language adapter that can be read: {error.strerror}"
                raise self._mistake(code, what, f"{CONFIG} and {WEIGHTS}") from error
            self._digests[code] = " ".join(hashlib.sha256(content).hexdigest() for content in files)
        return self._digests[code]

    def _mistake(self, code: str, what: str, right: str) -> Mistake:
        return Mistake(what, where=f"{self._where}, {self.path.name}/{code}", right=right)

    def put_on(self, encoder: Any) -> None:
        """Add the module that the adapters are loaded into, built as English's is, to an encoder that the library has
        opened. No draw of the stage's random numbers is used up."""
        import torch
        from adapters import AdapterConfig
        from adapters.loading import AdapterLoader

        about = AdapterLoader(encoder).weights_helper.load_weights_config(str(self.path / ENGLISH))
        with torch.random.fork_rng(devices=[]):
            encoder.add_adapter(LANGUAGE, config=AdapterConfig.load(about["config"]))

    def lay(self, encoder: Any, language: str) -> None:
        """Copy a language's weights into the module. ValueError where they are not exactly the module's."""
        import torch

        if language not in self._weights:
            self._weights[language] = self._read(encoder, language)
        weights = self._weights[language]
        own = {name: parameter for name, parameter in encoder.named_parameters() if f".{LANGUAGE}." in name}
        differing = [name for name in own.keys() | weights.keys()
                     if name not in own or name not in weights or own[name].shape != weights[name].shape]  # fmt: skip
        if differing:
            raise ValueError(f"the adapter of '{language}' does not fit the model: {', '.join(sorted(differing)[:3])}")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(weights[name])

    def _read(self, encoder: Any, language: str) -> dict[str, Tensor]:
        """A language's weights by the names that they have in the model: a file may have another name for the module,
        those of older versions of the library, and a prefix where it was saved from a model with a head."""
        from adapters.loading import AdapterLoader
        from safetensors.torch import load_file

        renamed = AdapterLoader(encoder).rename_func(str(self.about(language)["name"]), LANGUAGE)
        prefix = f"{encoder.base_model_prefix}."
        weights = load_file(self.path / language / WEIGHTS)
        return {renamed(name).removeprefix(prefix): tensor for name, tensor in weights.items()}
