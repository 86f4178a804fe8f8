"""Refuse a model whose blocks would take far more memory than its weights, before it is allocated.

A file of some kilobytes can name a network of billions of weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.model.meta_classifier import count_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

_FEW = 50_000_000  # weights, of 200 MB: any machine has room for them
_MOST = 2  # times the weights that are stored; BatchNorms that were merged are not


def check_size(blocks: Sequence[nn.Module], state: Mapping[str, Tensor]) -> None:
    """Raise if ``blocks`` have many more weights than ``state``.

    Raises:
        ValueError: they do.
    """
    needed = sum(map(count_weights, blocks))
    stored = sum(tensor.numel() for tensor in state.values())
    if needed > _MOST * stored + _FEW:
        raise ValueError(
            f"the {len(blocks)} blocks that it names have {needed:,} weights, it has {stored:,}"
        )
