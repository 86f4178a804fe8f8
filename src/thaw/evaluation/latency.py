"""Measure how long a model takes for one image."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from thaw.model.float32 import strict_float32

if TYPE_CHECKING:
    from thaw.data.loading import ImageSource
    from thaw.model.classifier import Classifier
    from thaw.training.runtime import Runtime

_ROUNDS = 20
_WARM_UP_ROUNDS = 3  # not measured: the first rounds allocate memory


def latency_ms(runtime: Runtime, classifier: Classifier, source: ImageSource) -> float:
    """Return the median time in milliseconds from a normalised image to its logits.

    It is measured in float32, in which `thaw serve` computes by default, whatever the precision of
    training is: limits of the gate hold for the same number.
    ``classifier`` is moved to the device of ``runtime``, and is in evaluation mode afterwards.
    """
    place = np.zeros(1, dtype=np.int64)
    inputs = source.finish(source.read(place).to(runtime.device), place, None)
    classifier.to(runtime.device).eval()
    seconds = []
    with torch.inference_mode(), strict_float32():
        for _ in range(_WARM_UP_ROUNDS + _ROUNDS):
            start = time.perf_counter()
            classifier(inputs).cpu()
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[_WARM_UP_ROUNDS:]) * 1000
