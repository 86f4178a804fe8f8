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

from thaw.data.limits import MOST_ELONGATED, MOST_PIXELS

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
            height, width = self._enlarged(*shape[:2])
            step = max(1, MOST_PIXELS // (height * width))
            for part in (places[start : start + step] for start in range(0, len(places), step)):
                stacked = torch.from_numpy(np.stack([images[place] for place in part]))
                result[part] = self._resize_equal(stacked.permute(0, 3, 1, 2))
        return result

    def _enlarged(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of such an image before its centre is cut out."""
        scale = round(self.image_size / self.crop_pct) / min(height, width)
        return (
            max(self.image_size, round(height * scale)),
            max(self.image_size, round(width * scale)),
        )

    def _resize_equal(self, images: Tensor) -> Tensor:
        """Resize images of one shape, and cut out the centre.

        Where the whole would have more than ``MOST_PIXELS``, one axis after the other is resized
        and cut, which gives the same bits where torch resizes 8-bit images as such. (On a CPU
        without AVX2, ``bilinear`` does not, and the last bit may be another one.)
        """
        height, width = self._enlarged(*images.shape[-2:])
        if height * width <= MOST_PIXELS:
            return self._center(self._to(images, height, width), self.image_size, self.image_size)
        images = _less_elongated(images)
        height, width = self._enlarged(*images.shape[-2:])
        rows = [
            self._center(self._to(part, part.shape[-2], width), part.shape[-2], self.image_size)
            for part in torch.split(images, max(1, MOST_PIXELS // width), dim=-2)
        ]
        columns = [
            self._center(self._to(part, height, part.shape[-1]), self.image_size, part.shape[-1])
            for part in torch.split(torch.cat(rows, dim=-2), max(1, MOST_PIXELS // height), dim=-1)
        ]
        return torch.cat(columns, dim=-1)

    def _to(self, images: Tensor, height: int, width: int) -> Tensor:
        mode = InterpolationMode(self.interpolation)
        resized: Tensor = resize(images, [height, width], interpolation=mode, antialias=True)
        return resized

    @staticmethod
    def _center(images: Tensor, height: int, width: int) -> Tensor:
        cropped: Tensor = center_crop(images, [height, width])
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


def _less_elongated(images: Tensor) -> Tensor:
    """Cut off the ends of what ``decode`` refuses, and earlier versions had packed."""
    most = MOST_ELONGATED * min(images.shape[-2:])
    for axis in (-2, -1):
        surplus = max(0, images.shape[axis] - most)
        images = images.narrow(axis, surplus // 2, images.shape[axis] - surplus)
    return images
