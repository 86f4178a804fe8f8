"""Packed pixels -> what the network sees.

The way from decoded pixels to the input is part of a model: it is kept in
``model.json`` and used alike in training, in evaluation and by what is served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import center_crop, resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Preprocessing(BaseModel):
    """Decoding limits, resize, centre crop and normalisation of one model's input."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    short_side: int
    max_megapixels: float
    image_size: int
    crop_pct: float
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def resize(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Images of (H, W, 3) -> uint8 (N, 3, S, S): short side to S / crop_pct, centre crop."""
        result = torch.empty(
            (len(images), 3, self.image_size, self.image_size),
            dtype=torch.uint8,
            memory_format=torch.channels_last,
        )
        shapes = [image.shape for image in images]
        # Images of one shape are resized together: the digits cost a call a batch, not one each.
        for shape in sorted(set(shapes)):
            places = [place for place, other in enumerate(shapes) if other == shape]
            stacked = torch.from_numpy(np.stack([images[place] for place in places]))
            result[places] = self._resize_equal(stacked.permute(0, 3, 1, 2))
        return result

    def _resize_equal(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        scale = round(self.image_size / self.crop_pct) / min(height, width)
        size = [max(self.image_size, round(side * scale)) for side in (height, width)]
        mode = InterpolationMode(self.interpolation)
        resized: Tensor = resize(images, size, interpolation=mode, antialias=True)
        cropped: Tensor = center_crop(resized, [self.image_size, self.image_size])
        return cropped

    def normalize(self, images: Tensor) -> Tensor:
        """Values in 0..1 (N, 3, S, S) -> mean and standard deviation as in pretraining."""
        mean, std = self._statistics(images.device)
        return (images - mean).div_(std)

    def denormalize(self, inputs: Tensor) -> Tensor:
        """The images that :meth:`normalize` made ``inputs`` of, for people to look at."""
        mean, std = self._statistics(inputs.device)
        return inputs * std + mean

    def _statistics(self, device: torch.device) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(values, device=device) for values in (self.mean, self.std))
        return mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)
