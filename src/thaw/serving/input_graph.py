"""The preprocessing of a model as tensor operations, for exported files.

Each resize is two matrix products, whose weights are computed from the size of the image. So the
graph accepts any size, and needs no operator that runtimes implement in different ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from thaw.data.framing import Framing
    from thaw.data.preprocessing import Preprocessing
    from thaw.data.resizing import Interpolation

_EXACT = torch.float64  # for sizes and positions: rounded as Python rounds them
_RADIUS = {"bilinear": 1.0, "bicubic": 2.0}


class InputGraph(nn.Module):
    """Upright RGB images of one size, (N, 3, H, W) uint8, to the square input of a model.

    It computes what ``decode`` and :meth:`Preprocessing.resize` compute: first images whose short
    side is above ``short_side`` are downsized to it, then they are resized and framed. Each pass
    over rows or columns is rounded to 8 bits, as Pillow does. A value differs from that of the
    model by at most 2 of 255.
    """

    border: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.short_side = preprocessing.short_side
        self.side = preprocessing.image_size
        self.margin = round(preprocessing.image_size / preprocessing.crop_pct)
        self.framing: Framing = preprocessing.framing
        self.interpolation: Interpolation = preprocessing.interpolation
        border = torch.tensor(preprocessing.border, dtype=torch.float32)
        self.register_buffer("border", border.view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the framed images, float32 (N, 3, S, S) with whole numbers in 0..255."""
        height, width = (
            torch.scalar_tensor(size, dtype=_EXACT, device=images.device)
            for size in images.shape[-2:]
        )
        packed_height, packed_width = self._packed_size(height, width)
        rows, columns = (_positions(size) for size in (packed_height, packed_width))
        down = _weights(_range(images.shape[-2], images), height, packed_height, rows, "bicubic")
        across = _weights(_range(images.shape[-1], images), width, packed_width, columns, "bicubic")
        packed = _resize(images.float(), down, across)
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
        for length, resized, sources in zip(
            size, self._resized_size(*size), positions, strict=True
        ):
            first = torch.round((resized - self.side) / 2)
            place = torch.arange(self.side, dtype=_EXACT, device=images.device) + first
            nearest = torch.minimum(place.clamp(min=0), resized - 1)
            weights.append(_weights(sources, length, resized, nearest, self.interpolation))
            inside.append((place >= 0) & (place < resized))
        framed = _resize(images, *weights)
        return torch.where(inside[0].unsqueeze(1) & inside[1].unsqueeze(0), framed, self.border)

    def _resized_size(self, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        """Return what :func:`thaw.data.framing.resized_size` returns."""
        if self.framing == "squish":
            margin = torch.full_like(height, self.margin)
            return margin, margin
        is_crop = self.framing == "crop"
        reference = torch.minimum(height, width) if is_crop else torch.maximum(height, width)
        least = self.side if is_crop else 1
        scale = _ratio(self.margin, reference)
        return (
            torch.round(height * scale).clamp(min=least),
            torch.round(width * scale).clamp(min=least),
        )


def _ratio(pixels: int, size: Tensor) -> Tensor:
    """Return ``pixels / size``, rounded once: torch divides a number by multiplying an inverse."""
    return torch.full_like(size, pixels) / size


def _positions(size: Tensor) -> Tensor:
    """Return 0, 1, ... ``size`` - 1, where ``size`` is known only when the graph runs."""
    count: Any = size.long().item()  # `int` of it cannot be exported
    torch._check(count >= 1)
    return torch.arange(count, dtype=_EXACT, device=size.device)


def _range(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=_EXACT, device=like.device)


def _resize(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Return ``images`` (N, 3, H, W) resized along rows first, then along columns."""
    return _rounded(down @ _rounded(images @ across.T))


def _rounded(values: Tensor) -> Tensor:
    return torch.floor(values + 0.5).clamp(0, 255)


def _weights(
    sources: Tensor, length: Tensor, resized: Tensor, places: Tensor, interpolation: Interpolation
) -> Tensor:
    """Return the weights (places, sources) that resize ``length`` pixels to ``resized``.

    ``sources`` are all positions of the image, ``places`` the wanted ones of the resized image. The
    filter is as wide as a pixel of the smaller of both (antialiasing).

    Source: Pillow, ``precompute_coeffs``; Keys 1981 (bicubic, a = -0.5).
    """
    scale = length / resized
    width = scale.clamp(min=1.0)
    reach = _RADIUS[interpolation] * width
    centers = (places + 0.5) * scale
    first = torch.floor(centers - reach + 0.5).clamp(min=0).unsqueeze(1)
    last = torch.minimum(torch.floor(centers + reach + 0.5), length).unsqueeze(1)
    values = _filter((sources + 0.5 - centers.unsqueeze(1)) / width, interpolation)
    values = torch.where((sources >= first) & (sources < last), values, 0.0)
    return (values / values.sum(dim=1, keepdim=True)).float()


def _filter(distances: Tensor, interpolation: Interpolation) -> Tensor:
    x = distances.abs()
    if interpolation == "bilinear":
        return (1 - x).clamp(min=0)
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
