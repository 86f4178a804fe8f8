"""Estimate the running statistics of BatchNorm again, where the validation loss falls."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from thaw.model import batchnorm
from thaw.model.float32 import strict_float32
from thaw.system.console import say
from thaw.training.bn_recalibration import recalibrate
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from thaw.context import Context
    from thaw.data.loading import ImageSource
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec


@strict_float32()
def recalibrate_if_better(
    context: Context, classifier: Classifier, spec: ModelSpec, val: ImageSource
) -> dict[str, Any]:
    """Estimate the running statistics on the training images; keep them if the loss falls.

    Returns:
        The report: whether they were kept, and the validation loss in nats. Empty if
        recalibration is off or there is no BatchNorm.
    """
    params = context.params
    if not params.fold_bn.recalibrate or not batchnorm.has_statistics(classifier):
        return {}
    before = copy.deepcopy(classifier.state_dict())
    old = _loss(context, classifier, val, "before recalibration")
    images = context.data.images("train", spec.preprocessing)
    recalibrate(context.runtime, classifier, images, params.seed)
    new = _loss(context, classifier, val, "after recalibration")
    is_kept = new < old
    if not is_kept:
        classifier.load_state_dict(before)
    if context.runtime.is_main:
        word = "kept" if is_kept else "dropped"
        say(f"recalibration: validation loss {old:.4f} -> {new:.4f}: {word}")
    return {"recalibration_kept": is_kept, "recalibrated_val_loss": new}


def _loss(context: Context, classifier: Classifier, val: ImageSource, what: str) -> float:
    scores = logits(context.runtime, classifier, val, what)
    return float(F.cross_entropy(scores.double(), torch.from_numpy(val.targets)))
