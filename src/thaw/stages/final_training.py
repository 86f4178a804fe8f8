"""Train once more, on training and validation images together, after everything is chosen.

Validation images are needed for choices only. The training that they have chosen is repeated on
all images, with the same learning rates to its last epoch. Which epoch has the lowest validation
loss is largely chance where there are few images, and need not be right for another training.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.advice.tournament.start_head import set_small_head
from thaw.data.loading import ImageSource
from thaw.model.batchnorm import fold_blocks
from thaw.stages.refitting import fit_on_all
from thaw.system import provenance
from thaw.system.console import say
from thaw.training import trainable_state
from thaw.training.phase_inputs import phase_inputs
from thaw.training.weight_interpolation import interpolated

if TYPE_CHECKING:
    from thaw.advice.tournament.stage_choices import HeadMethod
    from thaw.config.training_sections import Unfreeze
    from thaw.context import Context, Phase
    from thaw.model.classifier import Classifier
    from thaw.training.observer import Observer
    from thaw.training.phase_inputs import PhaseInputs
    from thaw.training.progress import Progress

ALL_IMAGES = "all_images"  # those of both splits


def is_repeated(settings: Unfreeze, head: HeadMethod, progress: Progress) -> bool:
    """Return whether the training that ended with ``progress`` is repeated on all images.

    It is not if it stopped early or kept its start, or if the head that it started from was trained
    by gradient descent. With ``refit: auto``, it is only if the stage warmup_head has chosen that
    head by a comparison.
    """
    wanted = settings.refit == "on" or (settings.refit == "auto" and head.is_compared)
    is_whole = progress.epoch == settings.epochs and progress.best_epoch > 0
    return wanted and is_whole and head.fit != "gradient"


def fit_start(
    context: Context, warm: Classifier, phase: Phase, head: HeadMethod, *, is_small: bool
) -> None:
    """Fit the head of ``warm``, the model of the head warm-up, to all images, in place.

    It becomes the small head if ``is_small``, as at the start of the first training.
    """
    if is_small:
        set_small_head(context, warm, phase.preprocessing, with_validation=True)
    else:
        fit_on_all(context, warm, phase.preprocessing, head)


def train_on_all(
    context: Context, classifier: Classifier, phase: Phase, observer: Observer, share: float = 1.0
) -> dict[str, Any]:
    """Repeat the training ``phase`` of ``classifier`` in place, on the images of both splits.

    The weights of the last epoch are kept, or ``share`` of them and the rest of those at the start.
    ``observer`` has the measured choices of the first training, and checkpoints of its own.

    Returns:
        The report: the number of images and epochs.
    """
    images = len(_images(context, phase))
    if context.runtime.is_main:
        say(
            f"unfreeze.refit: the training is repeated on all {images} training and validation "
            "images (the validation losses below are of images that it trains on)"
        )
    start = copy.deepcopy(classifier) if share < 1.0 else None
    epochs = phase.settings.epochs
    unstopped = phase.settings.model_copy(update={"patience": epochs})
    replace(context, open_inputs=_inputs_of_all).train(
        classifier,
        replace(phase, settings=unstopped, keeps_last=True),
        observer,
    )
    if start is not None:
        _mix(start, classifier, phase, share)
    return {"refit": {"images": images, "epochs": epochs}}


def _images(context: Context, phase: Phase) -> ImageSource:
    """Return the images of both splits, augmented as ``phase`` augments those of training."""
    data = context.data
    ids = np.concatenate([data.manifest.ids("train"), data.manifest.ids("val")])
    return ImageSource(
        data.store,
        ids,
        data.manifest.targets,
        phase.preprocessing,
        context.params.seed,
        phase.augmentation,
    )


def _inputs_of_all(context: Context, classifier: Classifier, phase: Phase) -> PhaseInputs:
    """Return the inputs of ``phase`` with the images of both splits for training."""
    cache = context.cache(phase.preprocessing)
    cache = replace(cache, data=provenance.key(cache.data, ALL_IMAGES))
    val = context.data.images("val", phase.preprocessing)
    train = _images(context, phase)
    return phase_inputs(context.runtime, classifier, train, val, phase.plan.cut, cache)


def _mix(start: Classifier, end: Classifier, phase: Phase, share: float) -> None:
    """Set the weights of ``end`` between those of ``start`` and its own."""
    if phase.plan.batch_norm == "affine":
        fold_blocks(start.blocks, phase.plan.trainable)
    weights = trainable_state.copy(trainable_state.state(end, phase.plan))
    first = trainable_state.state(start, phase.plan)
    trainable_state.load(end, interpolated(first, weights, share))
