"""The stage fold_bn: replace BatchNorm by trainable affine maps and merge them for deployment.

Both replacements are checked: the logits of the validation images must stay the same up to
``fold_bn.tolerance``.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from thaw.advice.tournament.stage_choices import read_augment
from thaw.context import Phase
from thaw.data.batches import batches
from thaw.data.loading import batch_parts
from thaw.errors import ThawError
from thaw.model import batchnorm, directory
from thaw.model.channel_statistics import expected
from thaw.model.drift import FoldedPlaces, Reference, statistics_after_merge
from thaw.model.float32 import strict_float32
from thaw.model.freeze_plan import chosen_blocks
from thaw.stages import earlier_models
from thaw.stages.calibrating import calibrated
from thaw.stages.mirroring import mirror_if_better
from thaw.stages.recalibrating_bn import recalibrate_if_better
from thaw.stages.training_stage import COMMON_SECTIONS, training_stage
from thaw.system import project_paths
from thaw.system.console import say
from thaw.system.processes import run_main
from thaw.system.quantities import quantity
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from torch import Tensor

    from thaw.config.data_sections import FixedAugment
    from thaw.context import Context
    from thaw.data.loading import ImageSource
    from thaw.model.channel_statistics import Channels
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec
    from thaw.training.observer import Observer
    from thaw.training.progress import Progress

SECTIONS = (*COMMON_SECTIONS, "augment", "fold_bn")
_REFERENCE_IMAGES = 1024  # training images on which the reference for drift is measured


@dataclass(frozen=True)
class Result:
    """The two forms of the model, and what was measured.

    ``affine`` has trainable affine maps, ``merged`` is the deployment form. ``reference`` is None
    if no BatchNorm was folded, and in all processes except the first.
    """

    affine: tuple[Classifier, ModelSpec]
    merged: tuple[Classifier, ModelSpec]
    reference: Reference | None
    progress: Progress
    report: dict[str, Any]


def run(
    context: Context,
    classifier: Classifier,
    spec: ModelSpec,
    augment: FixedAugment,
    observer: Observer,
) -> Result:
    """Fold, train the affine form and merge it. ``classifier`` becomes the affine form.

    Raises:
        ThawError: folding or merging changes a logit by more than ``fold_bn.tolerance``.
    """
    val = context.data.images("val", spec.preprocessing)
    report = recalibrate_if_better(context, classifier, spec, val)
    statistics = expected(classifier)
    outputs, found = fold(context, classifier, val)
    report |= found
    progress = train(context, classifier, spec, augment, observer)
    is_unchanged = progress.best_epoch == 0 and not report.get("recalibration_kept")
    merged, parent = copy.deepcopy(classifier), spec
    if context.params.fold_bn.epochs:
        outputs = val_logits(context, merged, val)
    outputs, found = mirror_if_better(context, merged, val, outputs)
    report |= found
    classifier.mirrored = merged.mirrored
    spec = spec.after("unfreeze", classifier, spec.trained)
    if is_unchanged and parent.calibration:
        spec = spec.model_copy(update={"calibration": parent.calibration})
    else:  # one calibration for both forms: their logits are equal up to the tolerance
        spec, found = calibrated(context, spec, outputs, val.targets)
        report |= found
    merged_spec, statistics, merge_report = merge(context, merged, spec, val, statistics, outputs)
    reference = drift_reference(context, merged, merged_spec, statistics)
    report |= merge_report
    if reference:
        report["shift_of_training"] = reference.shift_of_training
    return Result((classifier, spec), (merged, merged_spec), reference, progress, report)


@strict_float32()
def fold(
    context: Context, classifier: Classifier, val: ImageSource
) -> tuple[Tensor, dict[str, Any]]:
    """Replace every BatchNorm by its affine map, in place, and check that the logits stay.

    Returns:
        The validation logits (N, C) of the affine form, the report.

    Raises:
        ThawError: a logit moves by more than ``fold_bn.tolerance``.
    """
    before = logits(context.runtime, classifier, val, "logits before the fold")
    count = batchnorm.fold_all(classifier)
    after = logits(context.runtime, classifier, val, "logits after the fold")
    tolerance = context.params.fold_bn.tolerance
    return after, {"folded": count, **check_logits(before, after, tolerance, "fold")}


def train(
    context: Context,
    classifier: Classifier,
    spec: ModelSpec,
    augment: FixedAugment,
    observer: Observer,
) -> Progress:
    """Train the head and the blocks that ``unfreeze`` trained, in affine form, in place."""
    settings = context.params.fold_bn
    plan = chosen_blocks(spec.trained, len(classifier.blocks), "affine")
    phase = Phase(plan, settings, spec.preprocessing, augment, lr_decay=settings.lr_decay)
    return context.train(classifier, phase, observer)


@strict_float32()
def val_logits(context: Context, classifier: Classifier, val: ImageSource) -> Tensor:
    """Return the validation logits (N, C) of the affine form ``classifier``."""
    classifier.eval()
    return logits(context.runtime, classifier, val, "logits before the merge")


@strict_float32()
def merge(
    context: Context,
    classifier: Classifier,
    spec: ModelSpec,
    val: ImageSource,
    statistics: Channels,
    before: Tensor,
) -> tuple[ModelSpec, Channels, dict[str, Any]]:
    """Merge every affine map that follows a convolution into it, in place; check the logits.

    ``statistics`` are the mean and standard deviation that each folded BatchNorm expected,
    ``before`` the validation logits of the affine form.

    Returns:
        The spec of the merged form, ``statistics`` at the places after the merge, the report.

    Raises:
        ThawError: a logit moves by more than ``fold_bn.tolerance``.
    """
    classifier.eval()
    size = spec.preprocessing.image_size
    example = torch.zeros(1, 3, size, size, device=next(classifier.parameters()).device)
    pairs = batchnorm.merge_pairs(classifier, example)
    kept = len(batchnorm.affine_names(classifier)) - len(pairs)
    statistics = statistics_after_merge(statistics, classifier, pairs)
    batchnorm.merge(classifier, pairs)
    after = logits(context.runtime, classifier, val, "logits after the merge")
    report: dict[str, Any] = {"merged": len(pairs), "kept_affine": kept}
    report |= check_logits(before, after, context.params.fold_bn.tolerance, "merge")
    return spec.model_copy(update={"merged": [*spec.merged, *pairs]}), statistics, report


@strict_float32()
def drift_reference(
    context: Context, classifier: Classifier, spec: ModelSpec, statistics: Channels
) -> Reference | None:
    """Return the channel statistics of the merged form on training images.

    They are the reference from which drift is measured. None if no BatchNorm was folded, and in
    all processes except the first.
    """
    if not spec.folded or not context.runtime.is_main:
        return None
    source = context.data.images("train", spec.preprocessing)
    count = min(_REFERENCE_IMAGES, len(source))
    chosen = np.linspace(0, len(source) - 1, count).astype(np.int64)
    places = FoldedPlaces.of(spec.folded, spec.merged)
    classifier.eval()
    with places.watched(classifier) as moments, torch.inference_mode():
        for batch in batches(source, batch_parts(chosen, 128), context.runtime.device):
            classifier(batch.inputs)
    return Reference({name: (m.mean, m.std) for name, m in moments.items()}, statistics)


def check_logits(before: Tensor, after: Tensor, tolerance: float, what: str) -> dict[str, float]:
    """Return the largest change of a logit, absolute and relative to the largest logit.

    Raises:
        ThawError: the relative change is above ``tolerance``.
    """
    scale = float(before.abs().max())
    moved = float((after - before).abs().max())
    # If all logits are 0, there is no scale, and none of them may change.
    relative = moved / scale if scale else moved
    if not relative <= tolerance:
        raise ThawError(
            f"the {what} changed a logit by {moved:.3g}, which is {relative:.3g} of the largest "
            f"logit and more than fold_bn.tolerance = {tolerance:g}: no model was written. "
            "Set fold_bn.tolerance higher to accept it, or report it: in float32 it must not happen"
        )
    return {f"{what}_largest_move": moved, f"{what}_relative_move": relative}


def main() -> None:
    """Load the model of unfreeze, run, and write the affine and the merged form."""
    parent = earlier_models.read_spec(project_paths.MODELS / "unfreeze")
    with training_stage("fold_bn", SECTIONS, parent.digest) as stage:
        classifier, spec = earlier_models.load(project_paths.MODELS / "unfreeze")
        section = stage.context.params.augment
        augment = read_augment(section, project_paths.REPORTS / "unfreeze")
        result = run(stage.context, classifier, spec, augment, stage.observer)
        stage.save_model(*result.affine, "affine")
        spec = stage.save_model(*result.merged, project_paths.DEPLOYED.name, result.reference)
        if stage.context.runtime.is_main and not result.reference:
            directory.write_no_statistics(project_paths.DEPLOYED)
        if stage.context.runtime.is_main:
            report = result.report
            total = quantity(report["merged"] + report["kept_affine"], "affine map")
            folded = quantity(report["folded"], "BatchNorm")
            say(f"folded {folded}; merged {report['merged']} of {total} into the weights")
        stage.finish(spec, result.progress, result.report)


if __name__ == "__main__":
    run_main(main)
