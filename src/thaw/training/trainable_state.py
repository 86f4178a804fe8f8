"""What a phase changes: the parameters and buffers of the head and of its plan's blocks."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from thaw.model.classifier import Classifier
    from thaw.model.freeze_plan import Plan
    from thaw.training.runtime import Runtime


def state(classifier: Classifier, plan: Plan) -> dict[str, Tensor]:
    """The tensors themselves, by the names that they have in the classifier.

    For use at once: whatever moves the classifier, even to where it is, gives it new ones
    (``x.to("cpu:0")`` copies, and such is the device of several processes on a CPU).
    """
    found = classifier.head.state_dict(prefix="head.")
    for index in sorted(plan.trainable):
        found |= classifier.blocks[index].state_dict(prefix=f"blocks.{index}.")
    return dict(found)


def copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy that no step changes."""
    return {key: value.detach().clone() for key, value in tensors.items()}


def load(classifier: Classifier, tensors: Mapping[str, Tensor]) -> None:
    """Set the classifier's tensors of these names; the others stay."""
    classifier.load_state_dict(tensors, strict=False)


class Average:
    """The exponential moving average of the weights and of BatchNorm's running statistics.

    It starts at the phase's start, and follows more closely at first: its decay at step t is
    ``min(decay, (1 + t) / (10 + t))``, so that a short phase is not an average of its start.
    Source: Polyak & Juditsky 1992; the ramp is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, now: Mapping[str, Tensor], decay: float) -> None:
        self.values = copy(now)
        self._decay = decay

    @torch.no_grad()
    def update(self, now: Mapping[str, Tensor], step: int) -> None:
        """Move towards what ``step`` (from 0) has made of the tensors."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        for name, average in self.values.items():
            if average.is_floating_point():
                average.lerp_(now[name], weight)
            else:  # BatchNorm counts its batches
                average.copy_(now[name])

    @contextlib.contextmanager
    def in_place(self, runtime: Runtime, classifier: Classifier, plan: Plan) -> Iterator[None]:
        """The average stands where the weights are, and is the same in all processes.

        At the end the weights are back, to the bit.
        """
        kept = copy(state(classifier, plan))
        load(classifier, self.values)
        runtime.same_buffers(classifier)
        yield
        load(classifier, kept)

    def restore(self, values: Mapping[str, Tensor]) -> None:
        """Continue from ``values``."""
        for name, value in values.items():
            self.values[name].copy_(value)
