"""Statistics of small batches: BatchNorm of several GPUs normalises by all of their images."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from thaw.model.synced_batchnorm import synced
from thaw.training.usable_batch_sizes import FEW_IMAGES

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from thaw.model.classifier import Classifier
    from thaw.training.runtime import Runtime
    from thaw.training.setup import TrainingSetup


def synced_statistics(
    runtime: Runtime, classifier: Classifier, setup: TrainingSetup
) -> AbstractContextManager[None]:
    """Synchronise the BatchNorm of trainable blocks between processes, where that is needed.

    That is so under the policy ``train`` on several GPUs, with fewer than ``FEW_IMAGES`` images in
    each at once. torch has no synchronised BatchNorm for CPUs.
    """
    plan = classifier.plan
    assert plan is not None
    parts = setup.accumulate if setup.accumulate != "auto" else 1
    images = setup.settings.images_per_step // (runtime.world * parts)
    is_several = runtime.world > 1 and runtime.device.type == "cuda"
    if is_several and plan.batch_norm == "train" and images < FEW_IMAGES:
        return synced(classifier.blocks, sorted(plan.trainable))
    return contextlib.nullcontext()
