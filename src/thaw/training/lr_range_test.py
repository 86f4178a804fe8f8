"""The learning-rate range test: find a learning rate for a phase in about 100 steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import TYPE_CHECKING

import numpy as np

from thaw.errors import ThawError
from thaw.system.quantities import quantity
from thaw.training import trainable_state
from thaw.training.determinism import attention_restored
from thaw.training.learner import Learner
from thaw.training.memory_fit import shortage_explained
from thaw.training.optimizer_step import NotFiniteError
from thaw.training.rehearsal import Rehearsal
from thaw.training.step_choices import StepChooser
from thaw.training.step_order import order_of_phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thaw.data.batches import Batch
    from thaw.model.classifier import Classifier
    from thaw.training.phase_inputs import PhaseInputs
    from thaw.training.runtime import Runtime
    from thaw.training.setup import TrainingSetup
    from thaw.training.step_order import StepOrder

_SMOOTHING = 0.9
_EXPLODED = 4.0  # times the lowest smoothed loss
_FEWEST = 10  # steps; the slope of a shorter curve is noise


@dataclass(frozen=True)
class Sweep:
    """The learning rates of a range test: ``steps`` of them, from ``low`` to ``high``."""

    steps: int = 100
    low: float = 1e-6
    high: float = 1.0

    def rate(self, step: int) -> float:
        """Return the rate of ``step`` (0 .. steps - 1)."""
        growth = self.high / self.low
        return self.low * float(growth ** (step / (self.steps - 1)))


DEFAULT_SWEEP = Sweep()


@dataclass(frozen=True)
class Rates:
    """The learning rate of the head and the smoothed training loss (nats) of each step.

    ``steepest`` is the rate at which the loss falls fastest; ``tenth`` is a tenth of the rate
    with the lowest loss.
    """

    rates: list[float]
    losses: list[float]
    steepest: float
    tenth: float


@attention_restored()
def find(
    runtime: Runtime,
    classifier: Classifier,
    inputs: PhaseInputs,
    setup: TrainingSetup,
    sweep: Sweep = DEFAULT_SWEEP,
) -> Rates:
    """Train the head and the blocks in the plan while the learning rate rises as in ``sweep``.

    The rate rises by the same factor in each step. That of a block is lower by ``lr_decay``, as in
    training, and so are the parts of a step. The test ends early where the loss is 4 times the
    lowest. Afterwards the classifier is restored to the bit.

    Raises:
        MemoryShortageError: a step does not fit into memory, in any number of parts.
        ThawError: the loss is too high after fewer than 10 steps, or BatchNorm cannot normalise a
            step of so few images.

    Source: Smith 2017; the suggestions are those of fastai's ``lr_find``.
    """
    assert classifier.plan is not None
    order = order_of_phase(runtime, classifier, inputs, setup)
    learner = Learner(runtime, classifier, inputs.train.targets, setup, inputs.cut)
    now = trainable_state.state(classifier, classifier.plan)
    before = trainable_state.copy(now)

    def rehearse() -> Rehearsal:
        return Rehearsal(runtime, classifier, learner, order.first_batch(), before)

    plain = replace(setup, compile="off", graphs=False)
    StepChooser(runtime, plain, None, rehearse, order.fewest).apply(learner, sweep.steps)
    learner.network.train()
    rates: list[float] = []
    losses: list[float] = []
    average = 0.0
    with shortage_explained(rehearse, lambda: f"in step {len(rates) + 1}"):
        for number, (epoch, step, batch) in enumerate(islice(_steps(order), sweep.steps)):
            rate = sweep.rate(number)
            learner.set_rate(rate / setup.settings.lr)
            try:
                loss = float(learner.learn(batch, epoch, step, number)) / batch.total
                learner.step.raise_if_not_finite()
            except NotFiniteError:
                break
            average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
            smoothed = average / (1 - _SMOOTHING ** (number + 1))
            if not math.isfinite(smoothed) or smoothed > _EXPLODED * min(losses, default=smoothed):
                break
            rates.append(rate)
            losses.append(smoothed)
    trainable_state.load(classifier, before)
    learner.optimizer.zero_grad()
    classifier.eval()
    return suggest(rates, losses)


def suggest(rates: list[float], losses: list[float]) -> Rates:
    """Return the curve with the rates that it suggests, from the part up to its lowest point.

    The slope of the first tenth is ignored, because the average covers few losses there.

    Raises:
        ThawError: the curve is too short.
    """
    if len(losses) < _FEWEST:
        steps = quantity(len(losses), "step")
        rate = f", at a rate of {rates[-1]:.1e}" if rates else ""
        raise ThawError(
            f"the loss grew without limit after {steps}{rate}: "
            "no rate can be suggested; set launch.precision to fp32, and examine the images "
            "(`thaw check`, reports/prepare/report.json)"
        )
    lowest = int(np.argmin(losses))
    slopes = np.gradient(losses, np.log(rates))
    first = min(len(losses) // 10, lowest)
    steepest = first + int(np.argmin(slopes[first : lowest + 1]))
    return Rates(rates, losses, rates[steepest], rates[lowest] / 10)


def _steps(order: StepOrder) -> Iterator[tuple[int, int, Batch]]:
    """Yield the batches of a training without end, as (epoch, step, batch)."""
    for epoch in count(1):
        loaded = order.runtime.load(order.source, order.parts(epoch), epoch)
        for step, batch in enumerate(loaded):
            yield epoch, step, batch
