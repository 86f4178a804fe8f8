"""The batches of a phase, in the order in which they are learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.data.random_draws import shuffled
from thaw.training.single_image_steps import fewest_of_phase

if TYPE_CHECKING:
    from thaw.data.batches import Batch
    from thaw.data.loading import BatchPart, Source
    from thaw.model.classifier import Classifier
    from thaw.training.phase_inputs import PhaseInputs
    from thaw.training.runtime import Runtime
    from thaw.training.setup import TrainingSetup


@dataclass(frozen=True)
class StepOrder:
    """The steps of each epoch: all images of ``source``, shuffled by (``seed``, epoch).

    ``images`` is the number of images of a step over all processes, ``fewest`` the smallest number
    in one process.
    """

    runtime: Runtime
    source: Source
    images: int
    seed: int
    fewest: int

    def parts(self, epoch: int) -> list[BatchPart]:
        """Return this process's part of each batch of ``epoch`` (from 1)."""
        order = shuffled(len(self.source), self.seed, epoch)
        return self.runtime.batch_parts(order, self.images, self.fewest)

    def first_batch(self) -> Batch:
        """Return this process's part of the first batch of a phase."""
        (batch,) = self.runtime.load(self.source, self.parts(1)[:1], 1)
        return batch


def order_of_phase(
    runtime: Runtime, classifier: Classifier, inputs: PhaseInputs, setup: TrainingSetup
) -> StepOrder:
    """Return the order of a phase, in which BatchNorm can normalise every step.

    Raises:
        ThawError: that is not possible with so few images per step.
    """
    fewest, images = 1, setup.settings.images_per_step
    if setup.settings.epochs:
        parts = setup.accumulate if setup.accumulate != "auto" else 1
        fewest = fewest_of_phase(runtime, classifier, inputs, images, parts)
    return StepOrder(runtime, inputs.train, images, setup.seed, fewest)
