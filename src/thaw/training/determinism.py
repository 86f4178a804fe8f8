"""Backward passes on a GPU that give the same bits in every run.

torch's setting "warn" (see ``runtime.start``) lets operations run that have no deterministic
kernel. But attention then takes its faster kernels, which add in any order, although it has
deterministic ones. It takes these where such operations are errors. cuDNN has none, and its
attention is chosen in the forward pass, where the setting is "warn": it is turned off.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORD = "deterministic"  # in the errors of torch
_ERROR = 2  # torch's debug mode in which an operation without a deterministic kernel is an error


@contextmanager
def only_deterministic() -> Iterator[None]:
    """Raise in the block where an operation has no deterministic kernel.

    Raises:
        RuntimeError: :func:`is_refusal` is true for it.
    """
    with debug_mode(_ERROR):
        yield


@contextmanager
def debug_mode(mode: int) -> Iterator[None]:
    """Use torch's debug mode ``mode`` of determinism in the block: 0 off, 1 warn, 2 error."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode(mode)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def is_refusal(error: BaseException) -> bool:
    """Return whether torch raised ``error`` because an operation has no deterministic kernel."""
    return isinstance(error, RuntimeError) and _WORD in str(error)


def avoid_cudnn_attention() -> None:
    """Compute attention by torch's own kernels, of which the backward pass can be deterministic."""
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)


def use_plain_attention() -> None:
    """Compute attention by matrix products, which are deterministic but take more memory."""
    torch.backends.cuda.enable_flash_sdp(enabled=False)
    torch.backends.cuda.enable_mem_efficient_sdp(enabled=False)
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)
