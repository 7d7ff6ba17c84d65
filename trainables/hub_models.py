"""A hub model's files on this machine: the driver fetches them once, so that workers need no hub."""

from __future__ import annotations

from pathlib import Path

from trainables.errors import Mistake
from trainables.fingerprint import hub_config

FETCHED = ("*.json", "*.safetensors", "*.model", "*.txt")
"""What loading a model reads of its folder on the hub: configuration, weights, tokenizer."""


def hub_snapshot(name: str) -> str:
    """The folder of a hub id's model, fetched at the commit that its fingerprint is of; never code, never a pickle.

    What was fetched before is used where the hub does not answer. A Mistake where it cannot be had, or has no
    safetensors.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    repository, where = name.partition("@")[0], f"--model {name}"
    commit = hub_config(name).parent.name
    try:
        folder = snapshot_download(
            repository, revision=commit, allow_patterns=list(FETCHED), ignore_patterns=["*/*"], tqdm_class=None
        )
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        right = "a connection to the hub, or a folder that holds the model"
        raise Mistake(f"the model cannot be fetched: {_line(error)}", where=where, right=right) from error
    if not any(Path(folder).glob("*.safetensors")):
        what = "the model has no weights as safetensors, or they were not fetched before the hub went away"
        raise Mistake(what, where=where, right="a model with safetensors; pickles are not read")
    return str(folder)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
