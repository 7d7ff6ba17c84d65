"""What tests of several rooms share."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# No test depends on how fast a machine is.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


LONGEST = (
    "search/test_run.py", "trainables/test_learning.py", "search/test_faults.py", "perturb/test_real_text.py",
    "search/test_cluster_nodes.py", "trainables/test_task_table.py", "search/test_concurrent.py",
    "search/test_own_task.py", "search/test_spaces.py", "trainables/test_recovery.py", "search/test_cluster.py",
)  # fmt: skip
"""Files that take half a minute or more, those that start Ray between others."""


def pytest_collection_modifyitems(items):
    """The longest files come first: `make test` gives whole files to two processes, and no long one shall be the last,
    which one process runs while the other idles."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of published data; without it the test is skipped."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ORDER_SEARCH_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"there is no folder of published data at {folder} (set ORDER_SEARCH_DATA)")
    return folder


@pytest.fixture(scope="session")
def tiny_tokenizer():
    from trainables.corpus import MiniCorpus
    from trainables.tokenizer import train_tokenizer

    return train_tokenizer(MiniCorpus().sentences(random.Random(0), 150), 900)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory, tiny_tokenizer) -> str:
    """The folder of a model of two layers, 32 wide; `initializer_range` about 1/√width, or it would hardly learn."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel

    folder = tmp_path_factory.mktemp("tiny")
    config = XLMRobertaConfig(
        vocab_size=len(tiny_tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=514, type_vocab_size=1, initializer_range=0.18,
        bos_token_id=0, pad_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return str(folder)
