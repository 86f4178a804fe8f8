"""Sentences that explain a recommendation by its measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.advice.measurements import MAX_SIMILAR_SHIFT, MIN_SPLIT_ACCURACY, is_large_shift

if TYPE_CHECKING:
    from thaw.advice.measurements import Measurements


def reasons(measured: Measurements) -> list[str]:
    """Return the reasons for a recommendation, a sentence each."""
    if measured.from_scratch:
        return [
            "backbone.weights is none: there is no pretraining data to compare with, so all "
            "blocks are trained.",
            _splits(measured),
        ]
    return [
        _images(measured),
        _blocks(measured),
        _shift(measured.statistics_shift),
        _head_input(measured),
        _splits(measured),
    ]


def _images(measured: Measurements) -> str:
    size = "many" if measured.has_many_images else "few"
    return (
        f"There are {measured.images} training images in {measured.classes} classes, "
        f"{measured.images_per_class:.0f} per class: {size} (the limit is {measured.many_images})."
    )


def _blocks(measured: Measurements) -> str:
    last, best = measured.block_probes[-1], measured.best_block
    if best.accuracy == last.accuracy:
        return (
            f"The features of the last block classify best of all blocks "
            f"(accuracy {last.accuracy:.3f}): the data is similar in this respect."
        )
    numbers = f"accuracy {best.accuracy:.3f} against {last.accuracy:.3f} ± {last.error:.3f}"
    if measured.lower_block_is_better:
        return (
            f"The features of block {best.name} classify better than those of the last block "
            f"({numbers}): the data differs from the pretraining data."
        )
    return (
        f"The features of no block are clearly better than those of the last one (block "
        f"{best.name}: {numbers}): the data is similar in this respect."
    )


def _shift(shift: float | None) -> str:
    if shift is None:
        return "The backbone has no BatchNorm, so no shift of its statistics was measured."
    differs = "differs from" if is_large_shift(shift) else "is similar to"
    return (
        f"The BatchNorm statistics are shifted by {shift:.2f} standard deviations: the data "
        f"{differs} the pretraining data (the limit is {MAX_SIMILAR_SHIFT})."
    )


def _head_input(measured: Measurements) -> str:
    best = measured.best_head_input
    blocks = "blocks" if len(best.blocks) > 1 else "block"
    return (
        f"A head on frozen features should read {blocks} {best.name}: accuracy "
        f"{best.accuracy:.3f}, the highest."
    )


def _splits(measured: Measurements) -> str:
    accuracy, error = measured.split_test
    number = f"balanced accuracy {accuracy:.2f} ± {error:.2f}, chance is 0.50"
    if measured.validation_differs:
        return f"Validation images look different from training images ({number})."
    return (
        f"Validation images look like training images: a classifier cannot separate them with "
        f"certainty ({number}, the limit is {MIN_SPLIT_ACCURACY})."
    )
