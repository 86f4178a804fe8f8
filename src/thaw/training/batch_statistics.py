"""Statistics of small batches: BatchNorm of several GPUs normalises by all of their images."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from thaw.model.synced_batchnorm import synced
from thaw.training.usable_batch_sizes import FEW_IMAGES

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from thaw.model.classifier import Classifier
    from thaw.training.runtime import Runtime
    from thaw.training.setup import TrainingSetup

_DEVICE = "cuda"  # torch has no synchronised BatchNorm for CPUs


def is_synchronised(
    runtime: Runtime, classifier: Classifier, setup: TrainingSetup, parts: int
) -> bool:
    """Return whether BatchNorm of trainable blocks has to be synchronised between processes.

    That is so under the policy ``train`` on several GPUs, with fewer than ``FEW_IMAGES`` images in
    each at once, where a step is computed in ``parts`` parts.
    """
    plan = classifier.plan
    assert plan is not None
    images = setup.settings.images_per_step // (runtime.world * parts)
    is_several = runtime.world > 1 and runtime.device.type == _DEVICE
    return is_several and plan.batch_norm == "train" and images < FEW_IMAGES


class SynchronisedStatistics:
    """Synchronise BatchNorm in a training, where that is needed, until the end of the context.

    The forward pass of synchronised BatchNorm exchanges statistics. A pass in one process alone,
    and one for which a process may lack the memory, would leave the others waiting. Therefore
    measurements are made before :meth:`start` or after :meth:`end`.
    """

    def __init__(self, runtime: Runtime, classifier: Classifier, setup: TrainingSetup) -> None:
        """Take the network with the plan of the whole training."""
        self._runtime, self._classifier, self._setup = runtime, classifier, setup
        self._synced = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Begin a sharded training at once: modules that are divided are not replaced any more.

        Such a training measures nothing, and its number of parts is given.
        """
        if self._runtime.shards:
            self._start(1 if self._setup.accumulate == "auto" else self._setup.accumulate)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Restore the original modules."""
        self._synced.close()

    def start(self, parts: int) -> bool:
        """Synchronise, where that is needed for ``parts``; return whether modules were replaced."""
        return not self._runtime.shards and self._start(parts)

    def end(self) -> None:
        """Restore the original modules, for a pass in this process alone."""
        if not self._runtime.shards:
            self._synced.close()

    def _start(self, parts: int) -> bool:
        blocks, plan = self._classifier.blocks, self._classifier.plan
        if not is_synchronised(self._runtime, self._classifier, self._setup, parts):
            return False
        assert plan is not None
        self._synced.enter_context(synced(blocks, sorted(plan.trainable)))
        return True
