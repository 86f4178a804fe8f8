"""Backward passes on a GPU that give the same bits in every run.

torch's setting "warn" lets operations run that have no deterministic kernel. But attention then
takes its faster kernels, which add in any order, although it has deterministic ones. It takes these
where such operations are errors. cuDNN has none, and its attention is chosen in the forward pass,
where the setting is "warn": it is turned off.

The kinds of attention are settings of the process, and a compiled network keeps those that it was
compiled with. A phase sets them before it measures or compiles anything, and restores them at its
end: what a process has trained before does not change its results.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORD = "deterministic"  # in the errors of torch
# Functions that tell and set whether attention may take a kind of kernels.
_CUDA: Any = torch.backends.cuda
_FUSED_ATTENTION: Any = (
    (_CUDA.flash_sdp_enabled, _CUDA.enable_flash_sdp),
    (_CUDA.mem_efficient_sdp_enabled, _CUDA.enable_mem_efficient_sdp),
    (_CUDA.cudnn_sdp_enabled, _CUDA.enable_cudnn_sdp),
)
_ERROR = 2  # torch's debug mode in which an operation without a deterministic kernel is an error


def prefer_deterministic() -> None:
    """Take deterministic kernels in this process, and warn where an operation has none."""
    # As use_deterministic_algorithms(True, warn_only=True), which also imports torch's compiler.
    torch.set_deterministic_debug_mode("warn")
    # It would also fill every new tensor (700 in each step) to avoid reading uninitialised memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)


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


@contextmanager
def attention_restored() -> Iterator[None]:
    """Restore the kinds of attention at the end of the block. Also a decorator."""
    enabled = [is_enabled() for is_enabled, _ in _FUSED_ATTENTION]
    try:
        yield
    finally:
        for value, (_, enable) in zip(enabled, _FUSED_ATTENTION, strict=True):
            enable(value)


def use_plain_attention() -> None:
    """Compute attention by matrix products, which are deterministic but take more memory."""
    for _, enable in _FUSED_ATTENTION:
        enable(False)  # noqa: FBT003
