"""The one idea: a model is an ordered list of blocks, a pool and a head.

``Classifier = blocks[0], blocks[1], ... blocks[n-1], pool, head``. Freezing,
unfreeze depth, discriminative learning rates and cached activations are all
said with a *cut* in that list: an index between 0 (before the first block)
and n (after the last one, pooled).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thaw.model.freeze import Plan


class Classifier(nn.Module):
    """A backbone in blocks with a head on it; keeps to its freeze plan in ``train()``."""

    def __init__(self, blocks: Iterable[nn.Module], pool: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.pool = pool
        self.head = head
        self.plan: Plan | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) -> logits (N, classes)."""
        return self.forward_from(images, 0)

    def activations(self, images: Tensor, cut: int) -> Tensor:
        """The output of ``blocks[:cut]``: (N, C, H, W), or pooled (N, F) where ``cut`` is n."""
        for block in self.blocks[:cut]:
            images = block(images)
        return self.pool(images) if cut == len(self.blocks) else images

    def forward_from(self, activations: Tensor, cut: int) -> Tensor:
        """Activations at ``cut`` -> logits (N, classes)."""
        if cut < len(self.blocks):
            for block in self.blocks[cut:]:
                activations = block(activations)
            activations = self.pool(activations)
        logits: Tensor = self.head(activations)
        return logits

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
            elif self.plan.batch_norm == "frozen":
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
    """The part of a classifier below a cut: what is computed once and cached."""

    def __init__(self, classifier: Classifier, cut: int) -> None:
        super().__init__()
        self.classifier = classifier
        self.cut = cut

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) -> activations at the cut."""
        return self.classifier.activations(images, self.cut)
