"""Recommended training parameters for given measurements; a pure function.

| | similar to the pretraining data | dissimilar |
|---|---|---|
| few images | train the head on features of one or several blocks | the same, on any block |
| many images | fine-tune at a low learning rate | fine-tune at a higher learning rate |

A backbone without pretrained weights is trained as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from thaw.advice.reasons import reasons

if TYPE_CHECKING:
    from thaw.advice.measurements import Measurements
    from thaw.config.params import Params

# Augmentation for validation images that differ from training images: light, colour and noise.
ROBUST_AUGMENTATION = {
    "augment.brightness": 0.2,
    "augment.contrast": 0.3,
    "augment.tint": 0.5,
    "augment.noise": 0.1,
}


class Case(StrEnum):
    """The kinds of data that are trained in different ways."""

    SMALL_SIMILAR = "small and similar"
    SMALL_DISSIMILAR = "small and dissimilar"
    LARGE_SIMILAR = "large and similar"
    LARGE_DISSIMILAR = "large and dissimilar"
    FROM_SCRATCH = "from scratch"

    @property
    def summary(self) -> str:
        """Return the case and what to do, as a sentence."""
        return _SUMMARIES[self]


_SUMMARIES = {
    Case.SMALL_SIMILAR: "Few images, similar to the pretraining data: train only the head.",
    Case.SMALL_DISSIMILAR: (
        "Few images, different from the pretraining data: train only the head, on the features "
        "that classify best."
    ),
    Case.LARGE_SIMILAR: (
        "Many images, similar to the pretraining data: train all blocks at a low learning rate."
    ),
    Case.LARGE_DISSIMILAR: (
        "Many images, different from the pretraining data: train all blocks at a higher learning "
        "rate."
    ),
    Case.FROM_SCRATCH: "No pretrained weights: train all blocks.",
}


@dataclass(frozen=True)
class Recommendation:
    """A case, the reasons for it, and values for ``params.yaml`` by dotted key.

    The keys are the same in all cases.
    """

    case: Case
    reasons: list[str]
    values: dict[str, Any]

    def section(self, name: str) -> dict[str, Any]:
        """Return the values of one section, by their keys in it."""
        prefix = f"{name}."
        return {
            key.removeprefix(prefix): value
            for key, value in self.values.items()
            if key.startswith(prefix)
        }

    def changes_outside(self, section: str, params: Params) -> dict[str, Any]:
        """Return the values of all other sections that differ from ``params``."""
        content = params.model_dump()
        changes = {}
        for key, value in self.values.items():
            other, name = key.split(".")
            if other != section and content[other][name] != value:
                changes[key] = value
        return changes


def recommend(measured: Measurements) -> Recommendation:
    """Return the recommendation for ``measured``."""
    return Recommendation(_case(measured), reasons(measured), _values(measured))


def _case(measured: Measurements) -> Case:
    if measured.from_scratch:
        return Case.FROM_SCRATCH
    if measured.has_many_images:
        return Case.LARGE_SIMILAR if measured.is_similar else Case.LARGE_DISSIMILAR
    return Case.SMALL_SIMILAR if measured.is_similar else Case.SMALL_DISSIMILAR


def _values(measured: Measurements) -> dict[str, Any]:
    """Return a value for every key of every case, so that no value of another case remains."""
    case = _case(measured)
    if case in {Case.FROM_SCRATCH, Case.LARGE_DISSIMILAR}:
        # The features change during training: fitting the head to the present ones is useless.
        return {
            **_head([], "gradient"),
            **_regularization(measured),
            **_unfreeze(measured.blocks, **_full_training(measured), epochs=7),
            "fold_bn.epochs": 2,
        }
    head = _head(_taps(measured), "logistic")
    if case == Case.LARGE_SIMILAR:
        return {
            **head,
            **_regularization(measured, crop=0.45),
            **_unfreeze(measured.blocks, lr=0.0001, batch_norm="frozen", epochs=7),
            "fold_bn.epochs": 0,
        }
    return {
        **head,
        **dict.fromkeys(_regularization(measured), 0.0),  # no block is trained
        **_unfreeze(0, lr=0.0001, batch_norm="frozen", epochs=0),
        "fold_bn.epochs": 0,
    }


def _full_training(measured: Measurements) -> dict[str, Any]:
    """Return the learning rate and BatchNorm policy to train all blocks with.

    If validation images differ from training images, statistics of training images are not valid
    for them. Affine maps have no statistics and need a lower rate (docs/measured_choices.md).
    Without pretrained weights, training needs the statistics.
    """
    if measured.validation_differs and not measured.from_scratch:
        return {"lr": 0.0003, "batch_norm": "affine"}
    return {"lr": 0.001, "batch_norm": "train"}


def _head(taps: list[int], fit: str) -> dict[str, Any]:
    return {"head.taps": taps, "head.hidden": [], "warmup_head.fit": fit}


def _regularization(measured: Measurements, crop: float = 0.0) -> dict[str, float]:
    """Return values of augmentation and label smoothing.

    Only the user knows whether other changes, such as flips, are right for the data. Labels are not
    smoothed: without a calibration that makes the log-loss higher, and with one it helps some
    trainings and harms others (docs/measured_choices.md).
    """
    robust = ROBUST_AUGMENTATION
    if not measured.validation_differs:
        robust = dict.fromkeys(ROBUST_AUGMENTATION, 0.0)
    return {"augment.crop": crop, **robust, "regularize.label_smoothing": 0.0}


def _unfreeze(depth: int, *, lr: float, batch_norm: str, epochs: int) -> dict[str, Any]:
    return {
        "unfreeze.depth": depth,
        "unfreeze.blocks": [],
        "unfreeze.gradual_epochs": 0,
        "unfreeze.lr": lr,
        "unfreeze.batch_norm": batch_norm,
        "unfreeze.epochs": epochs,
    }


def _taps(measured: Measurements) -> list[int]:
    """Return the blocks that the head should read; [] is the last block alone."""
    blocks = measured.best_head_input.blocks
    return [] if blocks == (measured.blocks,) else list(blocks)
