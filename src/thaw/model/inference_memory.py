"""Estimate the memory that a network takes on a CPU to compute an image, without computing it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from thaw.model.meta_classifier import output_sizes

if TYPE_CHECKING:
    from thaw.model.classifier import Classifier

_FLOAT = 4  # bytes
# Copies of an image and of the largest output of a layer that exist at the same time. Measured:
# the estimate is 0.9 to 1.4 times the rise of the resident memory at 512 to 2048 pixels.
_INPUTS, _OUTPUTS = 2.0, 1.5


def bytes_per_image(classifier: Classifier, image_size: int) -> int:
    """Return about how many bytes each image takes at most while ``classifier`` computes it.

    The weights do not count. 0 if the network cannot be run without values.
    """
    tensors = classifier.state_dict(keep_vars=True).values()
    without_values = {id(one): torch.empty_like(one, device="meta") for one in tensors}
    try:
        sizes = output_sizes(copy.deepcopy(classifier, without_values), image_size)
    except Exception:  # an operation that torch's meta device does not know
        return 0
    largest = max((block.largest for block in sizes), default=0)
    return round(_FLOAT * (_INPUTS * 3 * image_size**2 + _OUTPUTS * largest))
