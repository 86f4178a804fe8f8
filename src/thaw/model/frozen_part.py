"""A frozen part of a classifier, computed by a faster copy in which BatchNorm is merged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from thaw.model.batchnorm import merged_copy
from thaw.model.classifier import ClassifierPart
from thaw.model.float32 import strict_float32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A CPU's convolution rounds an image alike in all batches whose size is a multiple of this.
ROUNDING_MULTIPLE = 16


class FrozenPart(nn.Module):
    """A part of a classifier that does not train: activations at its first cut -> at its last.

    It always computes in evaluation mode. The first call makes a copy of the blocks as they are
    then, with BatchNorm merged into the convolutions, and all calls use that copy. With
    ``pad_batches``, a row has the same bits in a batch of any size.
    """

    def __init__(self, part: ClassifierPart, *, pad_batches: bool = True) -> None:
        super().__init__()
        self.part = part
        self.merged_copy: ClassifierPart | None = None
        self._pad_batches = pad_batches

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the activations (N, ...) at the last cut of the part."""
        if self.merged_copy is None:
            self.merged_copy = merged_part(self.part, inputs[:1])
        if self._pad_batches:
            return compute_padded(self.merged_copy, inputs)
        outputs: Tensor = self.merged_copy(inputs)
        return outputs

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002, FBT001, FBT002  (nn.Module's signature)
        """Stay in evaluation mode."""
        super().train(mode=False)
        return self

    def splits(self) -> Iterator[tuple[FrozenPart, FrozenPart]]:
        """Yield the part in two pieces for every cut inside of it, the highest cut first."""
        part = self.part
        highest = part.outline.readable(part.end - 1)
        for cut in reversed(range(part.start + 1, highest + 1)):
            yield FrozenPart(part.part(part.start, cut)), FrozenPart(part.part(cut))


def merged_part(part: ClassifierPart, example: Tensor) -> ClassifierPart:
    """Return an evaluation copy of ``part`` in which BatchNorm is merged into the convolutions.

    ``example`` (1, ...) are activations at the part's first cut. Pool and head are not copied.
    """
    blocks = []
    # The copy is used by later calls too, so it must not depend on the mode of this one.
    with torch.inference_mode(mode=False), torch.no_grad(), strict_float32():
        example = example.clone().float()
        for block in part.blocks:
            copied, example = merged_copy(block, example)
            blocks.append(copied)
    return ClassifierPart(blocks, part.pool, part.head, part.outline, part.start)


def compute_padded(compute: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Return ``compute(inputs)`` (N, ...) with bits that do not depend on the batch size N.

    ``compute`` treats each row by itself. The batch is padded to a multiple of
    ``ROUNDING_MULTIPLE`` with copies of its first row.
    """
    missing = -len(inputs) % ROUNDING_MULTIPLE
    if not missing:
        return compute(inputs)
    padded = torch.cat([inputs, inputs[:1].expand(missing, *inputs.shape[1:])])
    return compute(padded)[: len(inputs)]
