"""Image bytes -> probabilities: what is served, and nothing that training needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from thaw.data.decode import DecodeError, decode
from thaw.model import directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class Predictor:
    """A model directory, ready to classify encoded images."""

    def __init__(self, folder: Path, batch_size: int = 64) -> None:
        self._classifier, self.spec = directory.load(folder)
        self._batch_size = batch_size

    @property
    def classes(self) -> list[str]:
        """The labels, in the order of the probabilities."""
        return self.spec.classes

    def probabilities(self, images: Sequence[bytes]) -> Tensor:
        """Encoded images (JPEG, PNG, ...) -> probabilities (N, classes).

        Raises:
            DecodeError: some image cannot be decoded; its place is named.
        """
        preprocessing = self.spec.preprocessing
        results = []
        for start in range(0, len(images), self._batch_size):
            batch = images[start : start + self._batch_size]
            pixels = [self._decode(start + place, content) for place, content in enumerate(batch)]
            inputs = preprocessing.normalize(preprocessing.resize(pixels).float().div_(255))
            with torch.inference_mode():
                logits = self._classifier(inputs.contiguous(memory_format=torch.channels_last))
            results.append(logits.softmax(dim=1))
        return torch.cat(results) if results else torch.empty(0, len(self.classes))

    def _decode(self, place: int, content: bytes) -> NDArray[np.uint8]:
        limits = self.spec.preprocessing
        try:
            return decode(
                content, short_side=limits.short_side, max_megapixels=limits.max_megapixels
            ).pixels
        except DecodeError as error:
            raise DecodeError(f"image {place}: {error}") from None
