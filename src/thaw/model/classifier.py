"""The core concept: a model is an ordered list of blocks, a pool and a head.

``Classifier = blocks[0], blocks[1], ... blocks[n-1], pool, head``. Unfreeze depth, discriminative
learning rates, feature extraction and cached activations are expressed by a *cut*: an index from 0
(before the first block) to n (after the last block and the pool).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from thaw.model.freeze_plan import Plan

Layout = Literal["NCHW", "NHWC", "NLC"]


def average_positions(activations: Tensor, layout: Layout) -> Tensor:
    """Return the mean (N, C) of a block's output over its positions or tokens."""
    if activations.ndim == 2:
        return activations
    return activations.mean((2, 3) if layout == "NCHW" else tuple(range(1, activations.ndim - 1)))


class AveragePool(nn.Module):
    """The pool of a backbone that ends before the last block of its network."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout: Layout = layout

    def forward(self, activations: Tensor) -> Tensor:
        """Return the mean (N, C) of a block's output."""
        return average_positions(activations, self.layout)


@dataclass(frozen=True)
class Outline:
    """The shape of a classifier: its number of blocks, and which of their outputs the head reads.

    ``taps`` are block numbers (1 .. ``blocks``, ascending); the last one is ``blocks``. ``layout``
    is the layout of a block's output.
    """

    blocks: int
    taps: tuple[int, ...]
    layout: Layout

    def readable(self, cut: int) -> int:
        """Return the highest cut, up to ``cut``, above which the head gets all that it reads.

        At the cut n, the activations are the features of all taps. A lower cut must not be above
        the first tapped block's input.
        """
        return cut if cut == self.blocks else min(cut, self.taps[0] - 1)


class ClassifierPart(nn.Module):
    """The blocks of a classifier between two cuts, with its pool and head where they belong to it.

    It owns the modules of the classifier, not copies. The pool follows if the part ends at the cut
    n, and the head if the part goes on to the logits; elsewhere both are ``nn.Identity``.
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        pool: nn.Module,
        head: nn.Module,
        outline: Outline,
        start: int = 0,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.pool = pool
        self.head = head
        self.outline = outline
        self.start = start
        self.plan: Plan | None = None

    @property
    def end(self) -> int:
        """The cut after the last block of this part."""
        return self.start + len(self.blocks)

    @property
    def taps(self) -> tuple[int, ...]:
        """The numbers of the blocks whose pooled outputs the head reads."""
        return self.outline.taps

    @property
    def layout(self) -> Layout:
        """The layout of a block's output."""
        return self.outline.layout

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the activations after this part.

        ``inputs`` are the activations at the part's first cut: at 0 images (N, 3, S, S), at n
        features (N, F), between them the output of a block. The result is the output of the last
        block; after the cut n features (N, F); after the head logits (N, classes).
        """
        if self.start < self.outline.blocks:
            inputs = (
                self._features(inputs) if self.end == self.outline.blocks else self._run(inputs)
            )
        outputs: Tensor = self.head(inputs)
        return outputs

    def _run(self, activations: Tensor) -> Tensor:
        for block in self.blocks:
            activations = block(activations)
        return activations

    def _features(self, activations: Tensor) -> Tensor:
        """Return the pooled outputs of the tapped blocks, side by side (N, F)."""
        features = []
        for number, block in enumerate(self.blocks, start=self.start + 1):
            activations = block(activations)
            if number == self.outline.blocks:
                features.append(self.pool(activations))
            elif number in self.outline.taps:
                features.append(average_positions(activations, self.outline.layout))
        return features[0] if len(features) == 1 else torch.cat(features, dim=1)

    def part(self, start: int, end: int | None = None) -> ClassifierPart:
        """Return the part between the cuts ``start`` and ``end``, of the same modules.

        Without ``end`` the part goes on as far as this one does, in a classifier to the logits. It
        keeps the freeze plan that is set now.
        """
        last = self.end if end is None else end
        made = ClassifierPart(
            self.blocks[start - self.start : last - self.start],
            self.pool if last == self.outline.blocks else nn.Identity(),
            self.head if end is None else nn.Identity(),
            self.outline,
            start,
        )
        made.plan = self.plan
        return made

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002  (nn.Module's own signature)
        """Set training mode as far as the plan allows: a frozen block stays in evaluation mode.

        ``nn.Module.train`` alone would make frozen BatchNorm normalise by the batch and move its
        running statistics.
        """
        super().train(mode)
        if mode and self.plan is not None:
            for index, block in enumerate(self.blocks, start=self.start):
                if index not in self.plan.trainable:
                    block.eval()
                elif self.plan.keeps_statistics:
                    _freeze_statistics(block)
        return self

    def extra_repr(self) -> str:
        """Return what the output depends on besides the modules: the cuts, and the pooled taps."""
        taps = f", taps={self.taps}" if self.end == self.outline.blocks else ""
        return f"start={self.start}, end={self.end}{taps}"


class Classifier(ClassifierPart):
    """A backbone in blocks, its pool and a head: images (N, 3, S, S) -> logits (N, classes).

    The head reads the pooled outputs of the blocks in ``taps`` (numbers from 1 to n), side by side.
    The last block always belongs to them; without ``taps`` it is the only one. If ``mirrored`` is
    set, the logits are the means of those of each image and of its mirror image, left to right.
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        pool: nn.Module,
        head: nn.Module,
        taps: Sequence[int] = (),
        layout: Layout = "NCHW",
    ) -> None:
        blocks = list(blocks)
        outline = Outline(len(blocks), tuple(sorted(set(taps))) or (len(blocks),), layout)
        super().__init__(blocks, pool, head, outline)
        self.mirrored = False

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (N, classes) of images (N, 3, S, S)."""
        if not self.mirrored:
            return super().forward(inputs)
        # In one batch, after the images themselves: what is measured of the first images stays.
        logits = super().forward(torch.cat([inputs, inputs.flip(-1)]))
        return logits.reshape(2, inputs.shape[0], -1).mean(0)

    def pooled_blocks(self) -> ClassifierPart:
        """Return the part that puts out the pooled outputs of all blocks, side by side (N, F)."""
        count = self.outline.blocks
        outline = replace(self.outline, taps=tuple(range(1, count + 1)))
        return ClassifierPart(self.blocks, self.pool, nn.Identity(), outline)


def _freeze_statistics(block: nn.Module) -> None:
    """Set every BatchNorm of ``block`` to evaluation mode."""
    for module in block.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
