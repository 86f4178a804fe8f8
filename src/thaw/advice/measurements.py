"""The measurements behind a recommendation, and the limits that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.advice.linear_probes import SplitTest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.advice.linear_probes import Probe

# Training images per class from which training the backbone improves the result. Fewer suffice for
# dissimilar data, because the pretrained features do not describe it. Rounded from a few trials
# (docs/measured_choices.md), not from a scan: on similar data (clip art) fine-tuning lost at 30
# images per class and won at about 100; on shifted digits frozen features lost at 60.
MANY_IMAGES = {"similar": 80, "dissimilar": 40}
# Shift of the BatchNorm statistics, in standard deviations, above which data is dissimilar.
MAX_SIMILAR_SHIFT = 0.6
# Standard errors by which a lower block must lead the last one to be better.
CLEAR_LEAD = 2.0
# Balanced accuracy, and standard errors above chance, from which a classifier that separates
# training from validation images shows that they differ.
MIN_SPLIT_ACCURACY = 0.6
MIN_SPLIT_ERRORS = 3.0
_EQUAL_SPLITS = SplitTest(0.5, 0.0)


@dataclass(frozen=True)
class Measurements:
    """Size of the training split, linear probes, and shifts.

    ``block_probes`` are those of each block alone; ``joint_probes`` those of the last two, three,
    ... all blocks together. ``statistics_shift`` is None if it cannot be measured: the backbone has
    no BatchNorm or is not pretrained.
    """

    images: int
    classes: int
    blocks: int
    block_probes: Sequence[Probe]
    joint_probes: Sequence[Probe]
    statistics_shift: float | None
    split_test: SplitTest = _EQUAL_SPLITS
    from_scratch: bool = False

    @property
    def validation_differs(self) -> bool:
        """Return whether validation images differ visibly from training images."""
        return are_different(self.split_test)

    @property
    def images_per_class(self) -> float:
        """Return the mean number of training images per class."""
        return self.images / self.classes

    @property
    def best_block(self) -> Probe:
        """Return the probe of the single block with the highest accuracy."""
        return max(self.block_probes, key=lambda probe: probe.accuracy)

    @property
    def best_head_input(self) -> Probe:
        """Return the probe of the blocks that a head on frozen features should read.

        Candidates are the last block, alone or with the blocks below it, and on dissimilar data
        every single block. The first of equal candidates is returned.
        """
        candidates = [self.block_probes[-1], *self.joint_probes]
        if not self.is_similar:
            candidates += self.block_probes
        return max(candidates, key=lambda probe: probe.accuracy)

    @property
    def has_many_images(self) -> bool:
        """Return whether there are enough images to train the backbone."""
        return self.images_per_class >= self.many_images

    @property
    def many_images(self) -> int:
        """Return the limit of :attr:`has_many_images`, in images per class."""
        return MANY_IMAGES["similar" if self.is_similar else "dissimilar"]

    @property
    def is_similar(self) -> bool:
        """Return whether the data is similar to the pretraining data.

        It is if the BatchNorm statistics are valid for it and no lower block is clearly better than
        the last one.
        """
        return not is_large_shift(self.statistics_shift) and not self.lower_block_is_better

    @property
    def lower_block_is_better(self) -> bool:
        """Return whether the features of a lower block are clearly better than the last ones."""
        last = self.block_probes[-1]
        return self.best_block.accuracy - last.accuracy > CLEAR_LEAD * last.error


def are_different(test: SplitTest) -> bool:
    """Return whether a classifier separates the two splits with certainty."""
    accuracy, error = test
    return accuracy >= MIN_SPLIT_ACCURACY and accuracy - 0.5 > MIN_SPLIT_ERRORS * error


def is_large_shift(shift: float | None) -> bool:
    """Return whether the shift of the BatchNorm statistics shows that data is dissimilar."""
    return shift is not None and shift > MAX_SIMILAR_SHIFT
