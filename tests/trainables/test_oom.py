"""Which errors say that the memory is full, or the GPU unusable."""

from __future__ import annotations

import errno
import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from trainables.oom import cuda_is_broken, out_of_memory, release

pytestmark = pytest.mark.usefixtures("young_heap")


def raised(call):
    """The error that a call raises."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the test looks at it
        return error
    raise AssertionError("nothing was raised")


def test_a_tensor_that_no_memory_can_hold():
    error = raised(lambda: torch.empty(1 << 60, dtype=torch.uint8))
    assert type(error) is RuntimeError  # PyTorch has no class of its own for it
    assert out_of_memory(error)
    assert not cuda_is_broken(error)


def test_a_layer_that_no_memory_can_hold():
    assert out_of_memory(raised(lambda: nn.Linear(8, 1 << 50)(torch.zeros(2, 8))))


@pytest.mark.parametrize("call", [lambda: bytearray(1 << 60), lambda: np.empty(1 << 60, dtype=np.uint8)])
def test_python_and_numpy(call):
    error = raised(call)
    assert isinstance(error, MemoryError)
    assert out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.1 GiB"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 15.90 GiB total capacity)"),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=str,
)
def test_full_memory_in_words(error):
    assert out_of_memory(error)
    assert not cuda_is_broken(error)


BROKEN = [
    torch.AcceleratorError("CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously"),
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA error: misaligned address"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb, m, n, k, …`"),
]


@pytest.mark.parametrize("error", BROKEN, ids=str)
def test_a_broken_gpu_in_words(error):
    assert cuda_is_broken(error)
    assert not out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (8x32 and 31x3)"),
        ValueError("CUDA out of memory"),  # who says so is no allocator
        KeyError("DefaultCPUAllocator: can't allocate memory"),
        OSError(errno.ENOSPC, "No space left on device"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_other_errors_are_neither(error):
    assert not out_of_memory(error)
    assert not cuda_is_broken(error)


def test_an_error_that_was_raised_from_one():
    """As `perturb.attacker.SearchFailed` is."""

    def wrapped(cause):
        try:
            raise cause
        except RuntimeError as error:
            raise ValueError("the search on an example broke off") from error

    assert out_of_memory(raised(lambda: wrapped(torch.OutOfMemoryError("CUDA out of memory"))))
    assert cuda_is_broken(raised(lambda: wrapped(BROKEN[0])))
    assert not out_of_memory(raised(lambda: wrapped(RuntimeError("no such key"))))


def test_a_chain_of_errors_that_bites_its_tail_ends():
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert not out_of_memory(one)


# --- letting go -------------------------------------------------------------------------------------------------------


class Held:
    """Stands for an optimizer's state or a batch."""


def test_what_a_failed_stage_held_is_let_go():
    """Gradients, and the locals of the frames that the error came through, also those of its cause."""
    model = nn.Linear(3, 2)
    seen = []

    def deepest():
        held = Held()
        held.itself = held  # a cycle, which reference counts alone do not free
        seen.append(weakref.ref(held))
        raise MemoryError

    def stage():
        optimizer = Held()
        seen.append(weakref.ref(optimizer))
        model(torch.ones(1, 3)).sum().backward()
        try:
            deepest()
        except MemoryError as error:
            raise ValueError("wrapped") from error

    gc.disable()  # nothing but `release` frees it
    try:
        error = raised(stage)
        assert all(one() is not None for one in seen)
        release(model, error)
        assert [one() for one in seen] == [None, None]
    finally:
        gc.enable()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert out_of_memory(error)  # it still says what it was


def test_there_may_be_nothing_to_let_go():
    release()
