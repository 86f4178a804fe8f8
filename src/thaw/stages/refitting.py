"""Fit the head again, on training and validation images together, after everything is chosen.

Validation images are needed for choices only. Where no block trains, the head can be fitted to them
as well. Its calibration and its scores then come from out-of-fold predictions, because it has seen
every image of both splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from thaw.advice.tournament.development import development
from thaw.advice.tournament.out_of_fold import out_of_fold
from thaw.context import Phase, compute_inputs
from thaw.model.freeze_plan import last_blocks
from thaw.stages.calibrating import calibrated
from thaw.system.blas_threads import threads_for
from thaw.system.console import say
from thaw.training.linear_heads import bounded_temperature, set_head, strengths
from thaw.training.linear_paths import LinearMap, path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.advice.tournament.stage_choices import HeadMethod
    from thaw.config.training_sections import Unfreeze
    from thaw.context import Context
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.calibration import Calibration
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

_MOST_IMAGES = 2000  # in the cross-validation that calibrates the head


def is_refitted(settings: Unfreeze, head: HeadMethod, *, head_only: bool) -> bool:
    """Return whether the head is fitted again.

    It is only if ``head_only`` (nothing but the head was trained), and never if the head was
    trained by gradient descent. With ``refit: auto``, it is if the stage warmup_head has chosen it
    by a comparison.
    """
    wanted = settings.refit == "on" or (settings.refit == "auto" and head.is_compared)
    return wanted and head_only and head.fit != "gradient"


@dataclass(frozen=True)
class HeadFit:
    """The head that was fitted to all images: out-of-fold logits (N, C), their targets (N,).

    ``images`` is the number of images that it was fitted to, ``strength`` that of its penalty.
    """

    logits: NDArray[np.float64]
    targets: NDArray[np.int64]
    images: int
    strength: float


def refit(
    context: Context,
    classifier: Classifier,
    spec: ModelSpec,
    head: HeadMethod,
    calibration: Calibration | None = None,
) -> tuple[ModelSpec, dict[str, Any]]:
    """Fit the head in place; return the spec with its calibration, and the report.

    The head stays as it is where the images cannot be divided into folds. Its calibration is then
    that of the head warm-up, ``calibration``.
    """
    fitted = fit_on_all(context, classifier, spec.preprocessing, head)
    if fitted is None:
        if context.runtime.is_main:
            say("unfreeze.refit: the head is kept: its images cannot be divided into folds")
        return spec.model_copy(update={"calibration": calibration}), {"refit": None}
    accuracy = float(np.mean(fitted.logits.argmax(axis=1) == fitted.targets))
    report = {
        "images": fitted.images,
        "out_of_fold_accuracy": accuracy,
        "strength": fitted.strength,
    }
    if context.runtime.is_main:
        say(
            f"unfreeze.refit: the head is fitted to all {fitted.images} training and validation "
            f"images (out-of-fold accuracy {accuracy:.4f})"
        )
    spec, found = calibrated(context, spec, torch.from_numpy(fitted.logits), fitted.targets)
    return spec, {"refit": report, **found}


def fit_on_all(
    context: Context, classifier: Classifier, preprocessing: Preprocessing, head: HeadMethod
) -> HeadFit | None:
    """Fit the head of ``classifier`` in place, to all training and validation images.

    None, and the head stays as it is, where the images cannot be divided into folds.
    """
    assert head.fit != "gradient"
    data, params = context.data, context.params
    plan = last_blocks(0, len(classifier.blocks), "frozen")
    inputs = compute_inputs(context, classifier, Phase(plan, params.unfreeze, preprocessing))
    features = np.concatenate([each.read(np.arange(len(each))).numpy() for each in inputs.pair])
    ids = np.concatenate([data.manifest.ids("train"), data.manifest.ids("val")])
    balanced = params.regularize.class_weights == "balanced"
    images = head.in_compared_folds(development(data, _MOST_IMAGES, params.seed))
    places = np.argsort(ids)[np.searchsorted(np.sort(ids), images.ids)]
    if not images.folds:
        return None
    known = out_of_fold(
        head.fit,
        features[places],
        images.targets,
        images.folds,
        strengths(head.fit, head.strength),
        balanced=balanced,
    )
    targets = images.targets[images.predicted]
    scale = 1.0 if head.fit == "logistic" else bounded_temperature(known.logits, targets)
    everything = (features, data.manifest.targets[ids])
    with threads_for(features.size * len(data.manifest.classes)):
        (fitted,) = path(head.fit, everything, [known.strength], balanced=balanced, exact=True)
    set_head(classifier.head, LinearMap(fitted.weight * scale, fitted.bias * scale))
    return HeadFit(known.logits * scale, targets, len(ids), known.strength)
