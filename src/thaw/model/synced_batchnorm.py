"""BatchNorm that normalises by the batches of all processes together."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import nn


@contextlib.contextmanager
def synced(blocks: nn.ModuleList, indices: Iterable[int]) -> Iterator[None]:
    """Replace each BatchNorm of the ``blocks`` with these ``indices`` by a synchronised one.

    Parameters and statistics are the same tensors, also at the end of the context, where the
    original modules are back: moving the blocks to a device meanwhile replaces the statistics. In
    training, synchronised BatchNorm computes on GPUs only.
    """
    # It also keeps the activation of timm's fused BatchNorm, which torch's function would lose.
    from timm.layers import convert_sync_batchnorm

    chosen = {index: blocks[index] for index in indices}
    originals = [
        (parent, name, child)
        for block in chosen.values()
        for parent in block.modules()
        for name, child in parent.named_children()
    ]
    for index, block in chosen.items():
        blocks[index] = convert_sync_batchnorm(block)
    try:
        yield
    finally:
        for parent, name, child in originals:
            _take_tensors(child, parent.get_submodule(name))
            parent.add_module(name, child)
        for index, block in chosen.items():
            _take_tensors(block, blocks[index])
            blocks[index] = block


def _take_tensors(module: nn.Module, replacement: nn.Module) -> None:
    """Give ``module`` the tensors that its replacement has by now."""
    module._parameters.update(replacement._parameters)
    module._buffers.update(replacement._buffers)
