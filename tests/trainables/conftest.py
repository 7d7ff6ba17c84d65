"""What the tests of training and scoring share."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def young_heap():
    """The garbage collector passes over what earlier files have left in caches: millions of objects in the end, so that
    each `gc.collect` after a stage that failed would take seconds."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def double():
    """New modules are made in double precision."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
