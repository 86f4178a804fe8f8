"""The number of images that a model computes at once, so that they fit into memory.

The size of the images is part of a model. Where they are large, a batch of the usual size in each
thread would take more memory than there is, and the system would end this process or another one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thaw.model.inference_memory import bytes_per_image
from thaw.system.memory import total_memory
from thaw.system.processes import cores
from thaw.training.out_of_memory import MemoryShortageError

if TYPE_CHECKING:
    from thaw.model.predictor import Predictor

_SHARE = 0.5  # of the memory: the rest is for weights, decoding, another model and other programs
_FEW_PIXELS = 2**23  # pixels at once that fit into any machine: they take about 2 GB


@dataclass(frozen=True)
class ImageLimit:
    """The most images of a batch, and a semaphore for those who compute one at the same time."""

    batch: int
    computing: threading.Semaphore = field(compare=False)


def limit_images(name: str, predictor: Predictor, batch: int) -> ImageLimit:
    """Return the limit for the model ``name``, whose batches have ``batch`` images at most.

    Each core computes a batch. On a GPU nothing is limited: torch reports that its memory is full.

    Raises:
        MemoryShortageError: not even one image fits.
    """
    threads, size = cores(), predictor.spec.preprocessing.image_size
    usual = ImageLimit(batch, threading.Semaphore(threads))
    if predictor.device.type != "cpu" or batch * threads * size**2 <= _FEW_PIXELS:
        return usual
    needed, memory = bytes_per_image(predictor.classifier, size), total_memory()
    if not needed:
        return usual
    fitting = int(_SHARE * memory / needed)
    if fitting < 1:
        raise MemoryShortageError(
            f"{name} takes about {needed / 1e9:.1f} GB to compute one image, because its images "
            f"have {size} x {size} pixels, and this machine has {memory / 1e9:.1f} GB of memory: "
            "use a machine with more memory, or another version (`thaw status`)"
        )
    batch = min(batch, max(1, fitting // threads))
    return ImageLimit(batch, threading.Semaphore(min(threads, fitting // batch)))
