"""The one idea: a model is an ordered list of blocks, a pool and a head.

``Classifier = blocks[0], blocks[1], ... blocks[n-1], pool, head``. Freezing,
unfreeze depth, discriminative learning rates and cached activations are all
said with a *cut* in that list: an index between 0 (before the first block)
and n (after the last one, pooled).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thaw.model.batchnorm import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from thaw.model.freeze_plan import Plan

Layout = Literal["NCHW", "NHWC", "NLC"]

# How a CPU's convolution rounds an image depends on whether its batch is a multiple of this.
EVEN = 16


def evenly(compute: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """``compute(inputs)`` (N, ...), rounded alike in whatever batch of whatever size.

    ``compute`` treats each row by itself; the batch is filled up to a multiple of ``EVEN``.
    """
    missing = -len(inputs) % EVEN
    if not missing:
        return compute(inputs)
    filled = torch.cat([inputs, inputs[:1].expand(missing, *inputs.shape[1:])])
    return compute(filled)[: len(inputs)]


def averaged(activations: Tensor, layout: Layout) -> Tensor:
    """The output of a block, averaged over its positions or tokens: (N, C)."""
    if activations.ndim == 2:
        return activations
    return activations.mean((2, 3) if layout == "NCHW" else tuple(range(1, activations.ndim - 1)))


class AveragePool(nn.Module):
    """The pool of a backbone that ends before its network's last block."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout: Layout = layout

    def forward(self, activations: Tensor) -> Tensor:
        """A block's output -> (N, C)."""
        return averaged(activations, self.layout)


class Classifier(nn.Module):
    """A backbone in blocks with a head on it; keeps to its freeze plan in ``train()``.

    The head reads the pooled outputs of the blocks in ``taps`` (1 .. n, the last one is n), side
    by side; none named means the last alone. ``layout`` is that of a block's output.
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        pool: nn.Module,
        head: nn.Module,
        taps: Sequence[int] = (),
        layout: Layout = "NCHW",
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.pool = pool
        self.head = head
        self.taps = tuple(sorted(set(taps))) or (len(self.blocks),)
        self.layout: Layout = layout
        self.plan: Plan | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) -> logits (N, classes)."""
        return self.forward_from(images, 0)

    def activations(self, inputs: Tensor, cut: int, start: int = 0) -> Tensor:
        """Activations at ``start`` (0: images) -> those at ``cut``, above it.

        They are the output of ``blocks[:cut]``; where ``cut`` is n, the features (N, F) of the
        head.
        """
        if cut == len(self.blocks):
            return self.features(inputs, start)
        for block in self.blocks[start:cut]:
            inputs = block(inputs)
        return inputs

    def features(self, activations: Tensor, cut: int) -> Tensor:
        """Activations at ``cut`` (below n, and below every tap) -> what the head reads (N, F)."""
        read = []
        for number, block in enumerate(self.blocks[cut:], start=cut + 1):
            activations = block(activations)
            if number == len(self.blocks):
                read.append(self.pool(activations))
            elif number in self.taps:
                read.append(averaged(activations, self.layout))
        return read[0] if len(read) == 1 else torch.cat(read, dim=1)

    def forward_from(self, activations: Tensor, cut: int) -> Tensor:
        """Activations at ``cut`` -> logits (N, classes)."""
        if cut < len(self.blocks):
            activations = self.features(activations, cut)
        logits: Tensor = self.head(activations)
        return logits

    def merged(self, cut: int, start: int, example: Tensor) -> Classifier:
        """It with copies, for evaluation alone, of ``blocks[start:cut]``: BatchNorms merged.

        ``example`` are activations (1, ...) at ``start``. The other parts are this one's own.
        """
        blocks = list(self.blocks)
        # Merged for good, in float32: not where inference or mixed precision happens to call.
        off = torch.autocast(example.device.type, enabled=False)
        with torch.inference_mode(mode=False), torch.no_grad(), off:
            example = example.clone().float()
            for index in range(start, cut):
                blocks[index], example = merged(blocks[index], example)
        return Classifier(blocks, self.pool, self.head, self.taps, self.layout)

    def readable(self, cut: int) -> int:
        """The highest cut up to ``cut`` whose activations are enough for the head's taps."""
        return cut if cut == len(self.blocks) else min(cut, self.taps[0] - 1)

    def train(self, mode: bool = True) -> Classifier:  # noqa: FBT001, FBT002  (nn.Module's own signature)
        """Set training mode where the plan lets it: a frozen block stays in evaluation mode.

        Left to itself, ``train()`` would let the running statistics of frozen
        BatchNorm drift and normalise by the batch.
        """
        super().train(mode)
        if mode:
            self.keep_frozen()
        return self

    def keep_frozen(self, cut: int = 0) -> None:
        """Set what the plan freezes in ``blocks[cut:]`` to evaluation mode."""
        if self.plan is None:
            return
        for index, block in enumerate(self.blocks[cut:], start=cut):
            if index not in self.plan.trainable:
                block.eval()
            elif self.plan.keeps_statistics:
                for module in block.modules():
                    if isinstance(module, _BatchNorm):
                        module.eval()


class Upper(nn.Module):
    """The part of a classifier above a cut, as a module of its own: what a phase trains.

    It has no more than that part, so that a step does not walk through what is frozen below.
    """

    def __init__(self, classifier: Classifier, cut: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(classifier.blocks[cut:])
        self.head = classifier.head
        self._whole = [classifier]  # in a list, it is no submodule
        self._cut = cut

    def forward(self, activations: Tensor) -> Tensor:
        """Activations at the cut -> logits (N, classes)."""
        return self._whole[0].forward_from(activations, self._cut)

    def train(self, mode: bool = True) -> Upper:  # noqa: FBT001, FBT002  (nn.Module's own signature)
        """As in the whole classifier: what is frozen stays in evaluation mode."""
        super().train(mode)
        if mode:
            self._whole[0].keep_frozen(self._cut)
        return self


class Lower(nn.Module):
    """The part of a classifier below a cut, as a module of its own: what is frozen, computed once.

    It has no more than that part, or with ``start`` what of it is above that cut. It computes in
    evaluation mode, by copies of the blocks as they are at its first call, with their BatchNorms
    merged. With ``even``, a row comes out the same to the bit in a batch of any size.
    """

    def __init__(
        self, classifier: Classifier, cut: int, start: int = 0, *, even: bool = True
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(classifier.blocks[start:cut])
        self.pool = classifier.pool if cut == len(classifier.blocks) else nn.Identity()
        self._whole = [classifier]  # in a list, it is no submodule
        self._cut = cut
        self._start = start
        self._even = even
        self._merged: list[Classifier] = []

    def forward(self, inputs: Tensor) -> Tensor:
        """Activations at the start (0: images, (N, 3, S, S)) -> those at the cut."""
        cut, start = self._cut, self._start
        if not self._merged:
            self._merged.append(self._whole[0].merged(cut, start, inputs[:1]))
        merged = self._merged[0]
        if not self._even:
            return merged.activations(inputs, cut, start)
        return evenly(lambda part: merged.activations(part, cut, start), inputs)

    def divided(self) -> Iterator[tuple[Lower, Lower]]:
        """It in two parts, in every way: (all up to a cut between, the rest); highest cut first."""
        whole = self._whole[0]
        for between in reversed(range(1, whole.readable(self._cut - 1) + 1)):
            yield Lower(whole, between), Lower(whole, self._cut, between)

    def train(self, mode: bool = True) -> Lower:  # noqa: FBT001, FBT002  (nn.Module's own signature)
        """As in the whole classifier: what is frozen stays in evaluation mode."""
        super().train(mode)
        if mode:
            self._whole[0].keep_frozen()
        return self

    def extra_repr(self) -> str:
        """What else the output depends on: of the taps, only where they are pooled."""
        whole = self._whole[0]
        taps = f", taps={whole.taps}" if self._cut == len(whole.blocks) else ""
        return f"cut={self._cut}{taps}"


class Pooled(nn.Module):
    """The pooled outputs of all blocks, side by side; ``widths`` says where each one ends."""

    def __init__(self, classifier: Classifier, image_size: int) -> None:
        super().__init__()
        self.blocks = classifier.blocks
        self.pool = classifier.pool
        self._layout: Layout = classifier.layout
        self.eval()
        with torch.no_grad():
            device = next(self.parameters()).device
            parts = self._parts(torch.zeros(1, 3, image_size, image_size, device=device))
        self.widths = [part.shape[1] for part in parts]

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) -> (N, the sum of ``widths``)."""
        return torch.cat(self._parts(images), dim=1)

    def _parts(self, images: Tensor) -> list[Tensor]:
        parts = []
        for block in self.blocks[:-1]:
            images = block(images)
            parts.append(averaged(images, self._layout))
        return [*parts, self.pool(self.blocks[-1](images))]
