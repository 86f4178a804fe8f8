"""Assemble a classifier from a backbone and a head, for a new model or to rebuild a saved one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from thaw.errors import ThawError
from thaw.model import head
from thaw.model.classifier import AveragePool, Classifier, average_positions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thaw.model.head import HeadSpec
    from thaw.model.zoo import Backbone


def assemble(
    backbone: Backbone, spec: HeadSpec, classes: int, *, image_size: int, seed: int = 0
) -> Classifier:
    """Return the classifier; blocks above the highest of ``spec.taps`` are left out.

    Raises:
        ThawError: a tap is beyond the backbone.
    """
    taps = sorted(set(spec.taps)) or [len(backbone.blocks)]
    if taps[-1] > len(backbone.blocks):
        raise ThawError(beyond(taps[-1], len(backbone.blocks)))
    backbone = first_blocks(backbone, taps[-1], image_size)
    lower = _widths(backbone, taps[:-1], image_size)
    top = head.build(spec, sum(lower) + backbone.features, classes, seed)
    return Classifier(backbone.blocks, backbone.pool, top, taps, backbone.layout)


def beyond(tap: int, blocks: int) -> str:
    """Return the message about a tap above the number of ``blocks`` of the backbone."""
    return (
        f"params.yaml: head.taps: {tap} is beyond the backbone's {blocks} blocks: set head.taps to "
        f"auto, or to numbers up to {blocks}"
    )


def first_blocks(backbone: Backbone, count: int, image_size: int) -> Backbone:
    """Return the backbone with its first ``count`` blocks; if some are left out, it averages."""
    if count == len(backbone.blocks):
        return backbone
    return trimmed(backbone, backbone.blocks[:count], AveragePool(backbone.layout), image_size)


def trimmed(
    backbone: Backbone, blocks: list[nn.Module], pool: nn.Module, image_size: int
) -> Backbone:
    """Return the backbone with other ``blocks`` and another ``pool``."""
    made = replace(backbone, blocks=blocks, pool=pool)
    with torch.no_grad():
        *_, outputs = _outputs(made, len(blocks), image_size)
        width = pool.eval()(outputs).shape[1]
    return replace(made, features=width)


def _widths(backbone: Backbone, taps: Sequence[int], image_size: int) -> list[int]:
    """Return the number of pooled features of the block of each tap, in ascending order."""
    return [
        average_positions(outputs, backbone.layout).shape[1]
        for tap, outputs in enumerate(_outputs(backbone, max(taps, default=0), image_size), 1)
        if tap in taps
    ]


def _outputs(backbone: Backbone, count: int, image_size: int) -> Iterator[torch.Tensor]:
    """Yield the output of each of the first ``count`` blocks for an image of zeros."""
    outputs = torch.zeros(1, 3, image_size, image_size)
    for block in backbone.blocks[:count]:
        with torch.no_grad():
            outputs = block.eval()(outputs)
        yield outputs
