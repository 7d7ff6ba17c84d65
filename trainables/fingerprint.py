"""Which base model it is: a fingerprint of its files, without importing torch."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from trainables.errors import Mistake
from trainables.model_files import check_folder
from trainables.untrusted import read_json

MICRO = Path(__file__).resolve().parent / "micro"
"""The encoder shipped with the mini suite."""

MICRO_DECODER = MICRO.with_name("micro-decoder")
"""The decoder shipped with it, for in-context learning."""

SHIPPED = {"micro": MICRO, "micro-decoder": MICRO_DECODER}

FILES = ("config.json", "model.safetensors", "tokenizer.json")

_SNAPSHOT = re.compile(r"models--([^/]+)/snapshots/([0-9a-f]{40})")
"""How the hub's library names the folder of a model at a commit."""


def model_path(name: str) -> str:
    """Where a model is: the shipped `micro` and `micro-decoder`, a folder, or a hub id `owner/name[@revision]`.

    Mistake where there is none, or a folder holds what could not be loaded or would run code.
    """
    if name in SHIPPED:
        return str(SHIPPED[name])
    folder = _folder(name)
    if folder is None:
        if name.count("/") == 1 and not name.startswith((".", "/", "~")):
            return name
        tools = "made by `python -m trainables.pretrain` or `… .pretrain_decoder`"
        right = f"{', '.join(SHIPPED)}, a folder {tools}, or a hub id such as FacebookAI/xlm-roberta-base"
        raise Mistake(f"there is no model '{name}'", where="--model", right=right)
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        right = f"a folder with {', '.join(FILES)}"
        raise Mistake(f"the model's folder lacks {', '.join(missing)}", where=f"--model {name}", right=right)
    check_folder(folder, f"--model {name}")
    return str(folder.resolve())


def _folder(name: str) -> Path | None:
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # a name of thousands of characters; `~nobody`; a NUL
        return None


def model_fingerprint(path: str) -> str:
    """16 hexadecimal digits over a folder's configuration, tokenizer and weights; over a hub id's name and commit, also
    where the path is the folder that it was fetched to."""
    folder = Path(path)
    fetched = _SNAPSHOT.fullmatch("/".join(folder.parts[-3:]))
    if not folder.is_dir() or fetched:
        name = f"{fetched[1].replace('--', '/')}@{fetched[2]}" if fetched else _hub_commit(path)
        return hashlib.sha256(name.encode()).hexdigest()[:16]
    try:
        read_json(folder / "config.json")
        digests = []
        for file in FILES:
            with (folder / file).open("rb") as content:
                digests.append(hashlib.file_digest(content, "sha256").hexdigest())
    except (OSError, ValueError) as error:
        raise Mistake(f"the model cannot be read: {error}", where=f"--model {path}") from error
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


def _hub_commit(name: str) -> str:
    """`owner/name@commit` of a hub id, so that a model that changes on the hub is another model here."""
    return f"{name.partition('@')[0]}@{hub_config(name).parent.name}"


def hub_config(name: str) -> Path:
    """The file config.json of a hub id, fetched."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    repository, _, revision = name.partition("@")
    try:
        return Path(hf_hub_download(repository, "config.json", revision=revision or None))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        told = str(error).strip().splitlines()[0]
        right = "a hub id that exists and a connection to the hub, or a folder that holds the model"
        raise Mistake(f"the model cannot be fetched: {told}", where=f"--model {name}", right=right) from error
