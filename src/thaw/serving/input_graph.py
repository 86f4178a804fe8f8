"""The preprocessing of a model as tensor operations, for exported files.

Each resize is a product with weights that are computed from the size of the image
(``graph_resizing``). So the graph accepts any size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from thaw.data.framing import resized_side
from thaw.serving.graph_resizing import (
    EXACT,
    pillow_weights,
    resized,
    torch_weights,
    whole_number,
)

if TYPE_CHECKING:
    from thaw.data.preprocessing import Preprocessing
    from thaw.data.resizing import Interpolation
    from thaw.literals import Framing


class InputGraph(nn.Module):
    """Upright RGB images of one size, (N, 3, H, W) uint8, to the square input of a model.

    It computes what ``decode`` and :meth:`Preprocessing.resize` compute: first images whose short
    side is above ``short_side`` are downsized to it as Pillow does, then they are resized as torch
    does in integers, and framed. The values are those of the model; where torch resizes in float32
    (``bilinear`` on CPUs without AVX2), they differ by at most 2 of 255.
    """

    border: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.short_side = preprocessing.short_side
        self.side = preprocessing.image_size
        self.resized = resized_side(preprocessing.image_size, preprocessing.crop_pct)
        self.framing: Framing = preprocessing.framing
        self.interpolation: Interpolation = preprocessing.interpolation
        border = torch.tensor(preprocessing.border, dtype=torch.float32)
        self.register_buffer("border", border.view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the framed images, float32 (N, 3, S, S) with whole numbers in 0..255."""
        height, width = (
            torch.scalar_tensor(size, dtype=EXACT, device=images.device)
            for size in images.shape[-2:]
        )
        packed_height, packed_width = self._packed_size(height, width)
        rows, columns = (_positions(size) for size in (packed_height, packed_width))
        down = pillow_weights(_range(images.shape[-2], images), height, packed_height, rows)
        across = pillow_weights(_range(images.shape[-1], images), width, packed_width, columns)
        packed = resized(images.float(), down, across)
        return self._framed(packed, (packed_height, packed_width), (rows, columns))

    def _packed_size(self, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        """Return the size of an image as ``decode`` returns it."""
        short = torch.minimum(height, width)
        least = short.clamp(max=self.short_side)
        scale = torch.where(short > self.short_side, _ratio(self.short_side, short), 1.0)
        return (
            torch.maximum(least, torch.round(height * scale)),
            torch.maximum(least, torch.round(width * scale)),
        )

    def _framed(
        self, images: Tensor, size: tuple[Tensor, Tensor], positions: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Return the square in the middle of resized ``images``, with borders outside of them."""
        weights, inside = [], []
        for length, target, sources in zip(size, self._resized_size(*size), positions, strict=True):
            first = torch.round((target - self.side) / 2)
            place = torch.arange(self.side, dtype=EXACT, device=images.device) + first
            nearest = torch.minimum(place.clamp(min=0), target - 1)
            weights.append(torch_weights(sources, length, target, nearest, self.interpolation))
            inside.append((place >= 0) & (place < target))
        framed = resized(images, *weights)
        return torch.where(inside[0].unsqueeze(1) & inside[1].unsqueeze(0), framed, self.border)

    def _resized_size(self, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        """Return what :func:`thaw.data.framing.resized_size` returns."""
        if self.framing == "squish":
            resized = torch.full_like(height, self.resized)
            return resized, resized
        is_crop = self.framing == "crop"
        reference = torch.minimum(height, width) if is_crop else torch.maximum(height, width)
        least = self.side if is_crop else 1
        scale = _ratio(self.resized, reference)
        return (
            torch.round(height * scale).clamp(min=least),
            torch.round(width * scale).clamp(min=least),
        )


def reads_all_pixels(preprocessing: Preprocessing) -> bool:
    """Return whether a model reads from every file what the graph computes from all its pixels.

    It does not where large JPEGs are decoded at a part of their size, and where torch resizes in
    float32.
    """
    has_integers = torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
    is_exact = preprocessing.interpolation == "bicubic" or has_integers
    return preprocessing.jpeg_pixels == "all" and is_exact


def _ratio(pixels: int, size: Tensor) -> Tensor:
    """Return ``pixels / size``, rounded once: torch divides a number by multiplying an inverse."""
    return torch.full_like(size, pixels) / size


def _positions(size: Tensor) -> Tensor:
    """Return 0, 1, ... ``size`` - 1, where ``size`` is known only when the graph runs."""
    return _range(whole_number(size), size)


def _range(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=EXACT, device=like.device)
