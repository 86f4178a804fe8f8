"""How long one image takes."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

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
    taken = []
    with torch.inference_mode(), runtime.autocast():
        for _ in range(_FIRST + _ROUNDS):
            begin = time.perf_counter()
            classifier(inputs).cpu()
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken[_FIRST:]) * 1000
