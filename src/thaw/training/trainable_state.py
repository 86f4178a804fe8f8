"""The tensors that a phase changes: parameters and buffers of the head and of trainable blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from thaw.model.classifier import Classifier
    from thaw.model.freeze_plan import Plan


def state(classifier: Classifier, plan: Plan) -> dict[str, Tensor]:
    """Return the tensors themselves, not copies, by their names in the classifier.

    Use them at once: moving the classifier replaces its tensors, even if the device does not
    change (``x.to("cpu:0")`` copies, and "cpu:0" is the device of several processes on a CPU).
    """
    found = classifier.head.state_dict(prefix="head.")
    for index in sorted(plan.trainable):
        found |= classifier.blocks[index].state_dict(prefix=f"blocks.{index}.")
    return dict(found)


def copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies, which no training step changes."""
    return {key: value.detach().clone() for key, value in tensors.items()}


def load(classifier: Classifier, tensors: Mapping[str, Tensor]) -> None:
    """Set the tensors of these names in the classifier; the others do not change."""
    classifier.load_state_dict(tensors, strict=False)
