"""Geometry of an image's way to the square input of a network: crop, pad or squish."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from thaw.literals import Framing


def resized_size(
    height: int, width: int, *, side: int, resized: int, framing: Framing
) -> tuple[int, int]:
    """Return (height, width) of a resized image, of which the centre of ``side`` pixels is taken.

    ``resized`` is the number of pixels, at least ``side``, that the short side (``crop``), the long
    side (``pad``) or both sides (``squish``) get.
    """
    if framing == "squish":
        return resized, resized
    reference = min(height, width) if framing == "crop" else max(height, width)
    least = side if framing == "crop" else 1
    scale = resized / reference
    return max(least, round(height * scale)), max(least, round(width * scale))


def resized_side(side: int, crop_pct: float) -> int:
    """Return the pixels to which an image is resized, if the network gets ``side`` of them.

    ``crop_pct`` is the share of them that the network gets, in (0, 1].
    """
    return round(side / crop_pct)


def center(images: Tensor, height: int, width: int, fill: Sequence[int]) -> Tensor:
    """Return the centre (height, width) of images (N, C, H, W) of type uint8.

    Where an image is smaller, it gets borders of the colour ``fill`` (C values in 0..255).
    """
    top = round((images.shape[-2] - height) / 2)
    left = round((images.shape[-1] - width) / 2)
    inner = images[
        ...,
        max(0, top) : max(0, top) + min(height, images.shape[-2]),
        max(0, left) : max(0, left) + min(width, images.shape[-1]),
    ]
    if inner.shape[-2:] == (height, width):
        return inner
    # Imported here: the stage prepare needs the geometry alone, and the import takes seconds.
    import torch

    from thaw.data.device_stream import sent

    colour = sent(torch.tensor(fill, dtype=images.dtype), images.device).view(1, -1, 1, 1)
    framed = colour.expand(len(images), -1, height, width).contiguous(
        memory_format=torch.channels_last
    )
    rows = slice(max(0, -top), max(0, -top) + inner.shape[-2])
    columns = slice(max(0, -left), max(0, -left) + inner.shape[-1])
    framed[..., rows, columns] = inner
    return framed
