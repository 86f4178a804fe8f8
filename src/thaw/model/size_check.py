"""Refuse a model whose network would take far more memory than its weights, before it is built.

A file of some kilobytes can name a network of billions of weights.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from thaw.model.meta_classifier import build_without_values, count_weights
from thaw.system.memory import total_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from thaw.model.spec import ModelSpec

_FLOAT = 4  # bytes
_FEW = 50_000_000  # weights, of 200 MB: any machine has room for them
_MOST = 2  # times the weights that are stored; BatchNorms that were merged are not


def check_size(spec: ModelSpec, state: Mapping[str, Tensor]) -> None:
    """Raise if the network of ``spec`` has many more weights than ``state``, or is too large.

    Raises:
        ValueError: it is.
    """
    try:
        sizes = _weights_of_blocks(spec.backbone)
    except Exception:  # unknown, or not to be built without values: building it says so
        return
    whole, used = sum(sizes), sum(sizes[: spec.blocks])
    if whole <= _FEW:
        return
    stored = sum(tensor.numel() for tensor in state.values())
    if used > _MOST * stored + _FEW:
        raise ValueError(
            f"{spec.blocks} blocks of {spec.backbone[:80]} have {used:,} weights, it has {stored:,}"
        )
    if whole * _FLOAT > (memory := total_memory()):
        raise ValueError(
            f"{spec.backbone[:80]} takes {whole * _FLOAT / 1e9:.1f} GB to build, and this machine "
            f"has {memory / 1e9:.1f} GB of memory"
        )


@functools.lru_cache(maxsize=64)
def _weights_of_blocks(name: str) -> list[int]:
    """Return the number of weights of each block, from a network without values."""
    return [count_weights(block) for block in build_without_values(name).blocks]
