"""The exponential moving average of the weights, which validation can use in their place."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from thaw.training import trainable_state
from thaw.training.divided_tensors import share

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from thaw.model.classifier import Classifier
    from thaw.model.freeze_plan import Plan
    from thaw.training.runtime import Runtime


class WeightAverage:
    """The exponential moving average of the weights and of BatchNorm's running statistics.

    It starts from the weights at the start of the phase. The decay at step t is
    ``min(decay, (1 + t) / (10 + t))``, so that the average of a short phase does not stay near its
    start.

    Source: Polyak & Juditsky 1992; the ramp is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, now: Mapping[str, Tensor], decay: float) -> None:
        self.values = trainable_state.copy(now)
        self._decay = decay

    @torch.no_grad()
    def update(self, now: Mapping[str, Tensor], step: int) -> None:
        """Include the tensors after ``step`` (from 0) in the average."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        means = {name: mean for name, mean in self.values.items() if mean.is_floating_point()}
        # A GPU computes many tensors in one kernel.
        torch._foreach_lerp_(
            [share(mean) for mean in means.values()], [share(now[name]) for name in means], weight
        )
        counts = self.values.keys() - means.keys()  # BatchNorm counts its batches
        if counts:
            torch._foreach_copy_([self.values[n] for n in counts], [now[n] for n in counts])

    @contextlib.contextmanager
    def in_place(self, runtime: Runtime, classifier: Classifier, plan: Plan) -> Iterator[None]:
        """Put the average in the place of the weights while the context is open.

        It is the same in all processes. At the end the weights are restored bit by bit.
        """
        kept = trainable_state.copy(trainable_state.state(classifier, plan))
        trainable_state.load(classifier, self.values)
        runtime.same_buffers(classifier)
        yield
        trainable_state.load(classifier, kept)

    def restore(self, values: Mapping[str, Tensor]) -> None:
        """Set the average to ``values``, those of a checkpoint."""
        for name, value in values.items():
            self.values[name].copy_(value)
