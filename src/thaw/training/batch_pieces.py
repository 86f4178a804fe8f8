"""Gradient accumulation: the pieces of a batch that are computed one after the other."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from thaw.data.batches import Batch


class Piece(NamedTuple):
    """Some rows of a batch: inputs, targets and weights, as in ``Batch``."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor


def size_of_pieces(batch_size: int, world: int, parts: int) -> int:
    """Return the images of a process in each of ``parts`` pieces of a full batch, rounded up."""
    of_process = -(-batch_size // world)
    return -(-of_process // parts)


def pieces(batch: Batch, size: int, fewest: int = 1) -> list[Piece]:
    """Return ``batch`` in as few pieces of at most ``size`` images as possible, of similar size.

    No piece has less than ``fewest`` images, unless the batch has.
    """
    images = len(batch.inputs)
    count = min(-(-images // size), images // fewest)
    if count <= 1:
        return [Piece(batch.inputs, batch.targets, batch.weights)]
    divided = (whole.tensor_split(count) for whole in (batch.inputs, batch.targets, batch.weights))
    return [Piece(*piece) for piece in zip(*divided, strict=True)]


@contextlib.contextmanager
def kept_momentum(network: nn.Module, count: int) -> Iterator[None]:
    """Let ``count`` updates of BatchNorm's running statistics weigh as much as one.

    After ``count`` updates with momentum ``1 - (1 - m) ** (1 / count)``, the old statistics have
    the weight ``1 - m``, as after one update with ``m``.
    """
    norms = [] if count == 1 else [m for m in network.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm, momentum in zip(norms, momenta, strict=True):
        if momentum is not None:
            norm.momentum = 1 - (1 - momentum) ** (1 / count)
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
