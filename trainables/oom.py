"""Errors that say the memory is full, or the GPU unusable; and letting go of a failed stage's memory."""

from __future__ import annotations

import errno
import gc
import traceback
from collections.abc import Iterator

import torch
from torch import nn

FULL = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",  # Windows
    "std::bad_alloc",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "cudaErrorMemoryAllocation",
    "HIP out of memory",
    "HIP error: out of memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate",  # no room for its workspace
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)
"""What messages of full memory hold, of a host's or a GPU's."""

BROKEN = (
    "an illegal memory access was encountered",
    "an illegal instruction was encountered",
    "device-side assert triggered",
    "unspecified launch failure",
    "the launch timed out and was terminated",
    "misaligned address",
    "hardware stack error",
    "invalid program counter",
    "operation not supported on global/shared address space",
    "uncorrectable ECC error encountered",
    "uncorrectable NVLink error",
    "all CUDA-capable devices are busy or unavailable",
    "CUDA error: unknown error",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUDA-capable device(s) is/are busy or unavailable",
    "Invalid access of peer GPU memory over nvlink or a hardware error",
)
"""What messages of errors hold after which every further CUDA call of the process fails (the runtime's "sticky" errors:
"the process must be terminated and relaunched"), or which follow from one."""


def out_of_memory(error: BaseException) -> bool:
    """Whether the memory was full, the host's or the GPU's, by the error or one that it was raised from."""
    return any(_is_full(one) for one in _chain(error))


def cuda_is_broken(error: BaseException) -> bool:
    """Whether CUDA can no longer be used by this process, by the error or one that it was raised from."""
    return any(isinstance(one, RuntimeError) and _says(one, BROKEN) for one in _chain(error))


def release(model: nn.Module | None = None, error: BaseException | None = None) -> None:
    """Let go of what a failed stage has left in memory, so that the next one may have it.

    That is: the model's gradients; what the frames of `error`'s traceback hold (the optimizer, a batch, the states that
    a backward pass would have read); cycles; and what the CUDA allocator keeps for later. The traceback is spent
    afterwards: format it before. Parameters stay as the failure left them: the next stage puts them right. What a
    caller's own frame holds is the caller's to drop.
    """
    for parameter in model.parameters() if model is not None else ():
        parameter.grad = None
    for one in _chain(error) if error is not None else ():
        traceback.clear_frames(one.__traceback__)
        one.__traceback__ = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _is_full(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and _says(error, FULL)


def _says(error: BaseException, texts: tuple[str, ...]) -> bool:
    message = str(error)
    return any(text in message for text in texts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised from or while handling of, each once."""
    left, seen = [error], set[int]()
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        left += [other for other in (one.__cause__, one.__context__) if other is not None]
