"""Draw a grid of augmented training images, as the network gets them in several epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from thaw.data.batches import batches
from thaw.data.loading import batch_parts
from thaw.system.pictures import write_png

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.data.loading import ImageSource

_IMAGES = 8
_EPOCHS = 7
_MIN_SIDE = 96  # pixels; smaller images are enlarged
_GAP = 4
_TITLE = 22


def draw_augmented(source: ImageSource, path: Path) -> None:
    """Write a PNG with one row per image: not augmented, then as in each of the first epochs."""
    count = min(_IMAGES, len(source))
    places = np.linspace(0, len(source) - 1, count).astype(np.int64)
    columns = [_augmented_pixels(source, places, epoch) for epoch in (None, *range(1, _EPOCHS + 1))]
    side = columns[0].shape[1] + _GAP
    size = (_GAP + len(columns) * side, _TITLE + count * side)
    # Pillow, not matplotlib: 64 axes take longer than an epoch on the digits.
    picture = Image.new("RGB", size, "gainsboro")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for column, images in enumerate(columns):
        left = _GAP + column * side
        draw.text((left, 2), f"epoch {column}" if column else "plain", "black", font)
        for row, pixels in enumerate(images):
            picture.paste(Image.fromarray(pixels), (left, _TITLE + row * side))
    write_png(picture, path)


def _augmented_pixels(
    source: ImageSource, places: NDArray[np.int64], epoch: int | None
) -> NDArray[np.uint8]:
    """Return the images as the network gets them in ``epoch``, as RGB pixels (N, S, S, 3)."""
    (batch,) = batches(source, batch_parts(places, len(places)), torch.device("cpu"), epoch=epoch)
    images: Tensor = source.preprocessing.denormalize(batch.inputs)
    pixels = (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)
    enlarged = -(-_MIN_SIDE // pixels.shape[1])
    return pixels.numpy().repeat(enlarged, axis=1).repeat(enlarged, axis=2)
