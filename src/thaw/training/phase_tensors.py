"""The tensors of a training phase in a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.training import optimizer_state, trainable_state
from thaw.training.checkpoints import join, split
from thaw.training.divided_tensors import from_shares, share

if TYPE_CHECKING:
    from torch import Tensor

    from thaw.model.classifier import Classifier
    from thaw.model.freeze_plan import Plan
    from thaw.training.learner import Learner
    from thaw.training.weight_average import WeightAverage


def phase_tensors(
    classifier: Classifier,
    plan: Plan,
    learner: Learner,
    average: WeightAverage | None,
    best: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Return what a phase that trains ``plan`` continues from: current, best and mean weights.

    In sharded training they are this process's parts.
    """
    parts = {
        "now": trainable_state.state(classifier, plan),
        "best": best,
        "average": average.values if average else {},
        "optimizer": optimizer_state.state(learner.optimizer),
        "scaler": learner.step.scaler_state(),
    }
    return {name: share(value) for name, value in join(parts).items()}


def restore_phase(
    tensors: dict[str, Tensor],
    classifier: Classifier,
    learner: Learner,
    average: WeightAverage | None,
) -> dict[str, Tensor]:
    """Set what :func:`phase_tensors` returned, except the best weights, which are returned."""
    parts = split(tensors)
    examples = classifier.state_dict()
    optimizer = learner.optimizer  # LAMB is built for the weights at the start of the phase
    trainable_state.load(classifier, from_shares(examples, parts["now"]))
    optimizer_state.restore(optimizer, parts["optimizer"])
    learner.step.restore_scaler(parts["scaler"])
    if average:
        average.restore(from_shares(examples, parts["average"]))
    return from_shares(examples, parts["best"])
