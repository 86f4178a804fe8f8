"""Images a second of a predictor's forward pass alone, at its best batch size."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

import torch

from benchmarks.gpu.inputs import SIZE, seconds
from thaw.training.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from thaw.model.predictor import Predictor

_PASSES = 30
_SIZES = (1, 8, 16, 32, 64, 128, 256, 512, 1024)
_LARGEST = 8  # times the batch of the command that is measured


def best_forward(predictor: Predictor, batch: int) -> tuple[int, float]:
    """Return the batch size with the most images a second, and that rate.

    Sizes up to eight times ``batch`` are tried, as far as they fit into memory.
    """
    rates: dict[int, float] = {}
    for size in takewhile(lambda size: size <= _LARGEST * batch, _SIZES):
        try:
            rates[size] = forward_rate(predictor, size)
        except Exception as error:
            if not rates or not is_out_of_memory(error):
                raise
            break
    best = max(rates, key=lambda size: rates[size])
    return best, rates[best]


def forward_rate(predictor: Predictor, batch: int, passes: int = _PASSES) -> float:
    """Return the images per second of the forward pass, from pixels that are on the device."""
    images = torch.randint(0, 256, (batch, 3, SIZE, SIZE), dtype=torch.uint8)
    images = images.to(predictor.device)

    def work() -> None:
        for _ in range(passes):
            predictor.compute(images)

    predictor.compute(images)  # loads the kernels
    return batch * passes / seconds(predictor.device, work)
