"""TextAttack, imported late and without a network: it takes seconds, and by itself downloads six NLTK packages, writes
into the home folder and moves Hugging Face's cache."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, wraps
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

STOPWORDS: Final = """
a about above after again against ain all am an and any are aren aren't as at be because been before being below
between both but by can cannot can't could couldn couldn't did didn didn't do does doesn doesn't doing don don't down
during each few for from further had hadn hadn't has hasn hasn't have haven haven't having he he'd he'll he's her here
hers herself him himself his how i i'd i'll i'm i've if in into is isn isn't it it'd it'll it's its itself just ll me
might mightn mightn't more most must mustn mustn't my myself need needn needn't no nor not now of off on once only or
other our ours ourselves out over own re same shall shan shan't she she'd she'll she's should shouldn shouldn't
should've so some such than that that'll the their theirs them themselves then there these they they'd they'll they're
they've this those through to too under until up upon ve very was wasn wasn't we we'd we'll we're we've were weren
weren't what when where which while who whom whose why will with won won't would wouldn wouldn't you you'd you'll
you're you've your yours yourself yourselves
"""
"""Function words of English and what NLTK's tokenizer leaves of their contractions: for who has no NLTK data."""

GUARD: Final = "post_install_check_3"
"""The file whose presence tells TextAttack that it has downloaded what it wants."""


@lru_cache(maxsize=1)
def textattack() -> ModuleType:
    """The module `textattack`, imported on the first call.

    Nothing is downloaded, nothing is written but to the system's folder for temporary files, and the environment is
    afterwards what it was. English stopwords are ours where the user's NLTK data have none. Its remarks on models
    and goals that it does not know are not shown.
    """
    import nltk

    folder = _folder()
    _write(folder / "nltk" / "corpora" / "stopwords" / "english", "\n".join(STOPWORDS.split()) + "\n")
    _write(folder / "cache" / GUARD, "")
    nltk.data.path.append(str(folder / "nltk"))  # last: what the user has is found before ours
    # These read where their caches are when they are imported, so before TextAttack moves them.
    for name in ("huggingface_hub.constants", "transformers.utils.hub", "datasets.config"):
        import_module(name)
    with _environment(folder):
        module = import_module("textattack")
    module.shared.logger.setLevel(logging.ERROR)
    _mend_homoglyphs(module.transformations.WordSwapHomoglyphSwap)
    return module


def environment() -> dict[str, str]:
    """What processes that import TextAttack by themselves (its own workers) need in theirs to stay offline."""
    folder = _folder()
    data = os.pathsep.join(filter(None, (os.environ.get("NLTK_DATA"), str(folder / "nltk"))))
    return {"TA_CACHE_DIR": str(folder / "cache"), "NLTK_DATA": data}


def imported() -> bool:
    """Whether TextAttack has been imported, by whomever: listings must not."""
    return "textattack" in sys.modules


def _mend_homoglyphs(swap: Any) -> None:
    """Let TextAttack's homoglyphs be made although its wheel lacks a file they read (intentional_homoglyphs.txt).

    The file is for the search by differential evolution alone, which then finds no place to change.
    """
    made = swap.__init__

    @wraps(made)
    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            made(self, *args, **kwargs)
        except FileNotFoundError:
            if not hasattr(self, "random_one"):  # it is set, as all else is, before the file is read
                raise

    swap.__init__ = make


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """TextAttack's and Matplotlib's caches in a folder of ours, as long as TextAttack is being imported."""
    before = dict(os.environ)
    os.environ.setdefault("TA_CACHE_DIR", str(folder / "cache"))
    if not (Path("~").expanduser() / ".config" / "matplotlib").is_dir():
        os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    if os.environ["TA_CACHE_DIR"] != str(folder / "cache"):
        _write(Path(os.environ["TA_CACHE_DIR"]) / GUARD, "")  # the user's own folder, which the user named
    try:
        yield
    finally:
        for name in ("TA_CACHE_DIR", "MPLCONFIGDIR", *_MOVED):
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)


_MOVED: Final = (
    "HF_HOME", "XDG_CACHE_HOME", "TFHUB_CACHE_DIR", "PYTORCH_TRANSFORMERS_CACHE", "TOKENIZERS_PARALLELISM",
    "WANDB_SILENT",
)  # fmt: skip
"""What the import sets for its process and all of that process's children."""


def _folder() -> Path:
    """A folder for temporary files that this user alone may write, the same for all of the user's processes."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    folder = Path(tempfile.gettempdir()) / f"order-search-textattack-{user}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if folder.is_dir() and not folder.is_symlink() and (not hasattr(os, "getuid") or found.st_uid == user):
            return folder
    return Path(tempfile.mkdtemp(prefix="order-search-textattack-"))  # another's: one for this process alone


def _write(path: Path, content: str) -> None:
    """A file, whole or not at all, whoever else writes it at the same moment."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
    Path(name).replace(path)
