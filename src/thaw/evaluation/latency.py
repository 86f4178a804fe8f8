"""How long one image takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from thaw.system.timing import median_milliseconds

if TYPE_CHECKING:
    from thaw.data.loading import ImageSource
    from thaw.model.classifier import Classifier
    from thaw.training.runtime import Runtime

_ROUNDS = 20
_FIRST = 3  # rounds that do not count: memory is not there yet


def latency(runtime: Runtime, classifier: Classifier, source: ImageSource) -> float:
    """Milliseconds for one image, from pixels to logits on this machine: the median of some."""
    place = np.zeros(1, dtype=np.int64)
    inputs = source.finish(source.read(place).to(runtime.device), place, None)
    classifier.eval()
    with torch.inference_mode(), runtime.autocast():
        return median_milliseconds(lambda: classifier(inputs).cpu(), _ROUNDS, _FIRST)
