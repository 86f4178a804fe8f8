"""Errors of devices and of the CPU that say that memory is exhausted."""

from __future__ import annotations

import torch

from thaw.errors import ThawError

# Messages of RuntimeErrors that torch raises instead of its OutOfMemoryError.
_MESSAGES = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "out of memory")


class MemoryShortageError(ThawError):
    """A training step does not fit into memory; the message names what would fit."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory is exhausted."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _MESSAGES)
