"""Errors of devices and of the CPU that say that memory is exhausted."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from thaw.errors import ThawError
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

# Messages of RuntimeErrors that torch raises instead of its OutOfMemoryError.
# "ALLOC..." are those of cuBLAS and cuDNN.
_MESSAGES = ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED", "ALLOCATION_FAILED")


class MemoryShortageError(ThawError):
    """A computation does not fit into memory; the message names what would fit."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory is exhausted."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _MESSAGES)


@contextlib.contextmanager
def shortage_named(message: str) -> Iterator[None]:
    """Replace an out-of-memory error in the block by ``message``, which says what to do.

    Raises:
        MemoryShortageError: the memory was exhausted.
        Exception: any other error of the block.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryShortageError(message) from error


def shortage_in_scoring(
    description: str, images: int, device: torch.device
) -> AbstractContextManager[None]:
    """Name a shortage in a pass over a whole split, which computes ``images`` at once."""
    return shortage_named(scoring_shortage(description, images, device))


def scoring_shortage(description: str, images: int, device: torch.device) -> str:
    """Return the message for such a pass, of ``images`` at once, that does not fit."""
    size = quantity(images, "image does", "images do")
    return (
        f"out of memory ({description}): {size} not fit into "
        f"the memory of {device} at once: end other programs on it and run the same command, or "
        "lower backbone.image_size"
    )
