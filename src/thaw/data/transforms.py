"""Packed pixels -> what the network sees, with and without random changes.

The way from decoded pixels to the input is part of a model: it is kept in
``model.json`` and used alike in training, in evaluation and by what is served.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import center_crop, resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from thaw.config import Augment


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
        mean = torch.tensor(self.mean, device=images.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, 3, 1, 1)
        return (images - mean) / std


def augment(
    images: Tensor, ids: NDArray[np.int64], epoch: int, seed: int, config: Augment
) -> Tensor:
    """Change each image (N, 3, S, S), values in 0..1, by its own draw from (seed, epoch, id).

    So it does not matter how images are batched, how many processes train, or
    whether the run was killed and resumed.
    """
    draws = np.stack([_draw(seed, epoch, int(image_id)) for image_id in ids]).astype(np.float32)
    flip, rotate, zoom, shift_x, shift_y, brightness, contrast = (
        torch.from_numpy(column).to(images.device) for column in np.ascontiguousarray(draws.T)
    )
    if config.rotate or config.zoom or config.shift:
        angle = (2 * rotate - 1) * math.radians(config.rotate)
        scale = torch.exp((2 * zoom - 1) * math.log1p(config.zoom))
        cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
        # Rows of the map from output to input positions, both in -1..1.
        across = torch.stack([cosine, -sine, (2 * shift_x - 1) * 2 * config.shift], dim=1)
        down = torch.stack([sine, cosine, (2 * shift_y - 1) * 2 * config.shift], dim=1)
        grid = F.affine_grid(
            torch.stack([across, down], dim=1), list(images.shape), align_corners=False
        )
        images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    if config.flip:
        mirrored = (flip < config.flip).view(-1, 1, 1, 1)
        images = torch.where(mirrored, images.flip(-1), images)
    if config.brightness or config.contrast:
        gain = (1 + (2 * contrast - 1) * config.contrast).view(-1, 1, 1, 1)
        offset = ((2 * brightness - 1) * config.brightness).view(-1, 1, 1, 1)
        # One image at a time: a sum over a batch of one is cut up otherwise than over several.
        mean = torch.stack([image.mean() for image in images]).view(-1, 1, 1, 1)
        images = ((images - mean) * gain + mean + offset).clamp(0, 1)
    return images


def _draw(seed: int, epoch: int, image_id: int) -> NDArray[np.float64]:
    # A counter-based generator is a pure function of its key and counter (Salmon et al. 2011).
    generator = np.random.Philox(key=[seed, epoch], counter=[0, image_id, 1, 0])
    return np.random.Generator(generator).random(7)
