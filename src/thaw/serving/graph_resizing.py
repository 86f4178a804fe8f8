"""Resize of 8-bit images as tensor operations, with the bits of Pillow and of torch.

Both multiply pixels by weights that are rounded to whole numbers of 2**-p. Products and sums of
whole numbers are exact in float32 below 2**24, in any order, so every runtime gets the same pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from thaw.data.resizing import Interpolation

EXACT = torch.float64  # for sizes, positions and weights: rounded as Python rounds them
_RADIUS = {"bilinear": 1.0, "bicubic": 2.0}
_PILLOW_BITS = 22  # p, in Pillow's Resample.c
_MOST_BITS = 22  # p in torch, which lowers it until all weights have 16 bits
_LARGEST = 2**15
# Weights are split into a multiple of this number and a rest. The sums of both stay below 2**24:
# those of the rest for filters of up to 512 pixels.
_SPLIT = 128


class Weights(NamedTuple):
    """Whole-number weights (places, sources) as float64, and the number that stands for 1."""

    values: Tensor
    unit: Tensor


class _Filter(NamedTuple):
    """The filter of one pass: from ``length`` pixels to ``resized`` ones, as tensors."""

    length: Tensor
    resized: Tensor
    interpolation: Interpolation

    def weights(self, sources: Tensor, places: Tensor) -> Tensor:
        """Return weights of the positions ``sources`` for the wanted ``places``, with sum 1.

        ``sources`` have shape (sources,) or (places, sources). The filter is as wide as a pixel of
        the smaller of both images (antialiasing).

        Source: Pillow, ``precompute_coeffs``; Keys 1981 (bicubic, a = -0.5).
        """
        scale = self.length / self.resized
        centers = (places + 0.5) * scale
        first, last = self.ends(places)
        inverse = 1 / scale.clamp(min=1.0)
        values = _filtered((sources - centers.unsqueeze(1) + 0.5) * inverse, self.interpolation)
        inside = (sources >= first.unsqueeze(1)) & (sources < last.unsqueeze(1))
        values = torch.where(inside, values, 0.0)
        return values / values.sum(dim=1, keepdim=True)

    def ends(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first source of each place, and the one behind its last source."""
        centers = (places + 0.5) * (self.length / self.resized)
        first = torch.floor(centers - self.reach + 0.5).clamp(min=0)
        return first, torch.minimum(torch.floor(centers + self.reach + 0.5), self.length)

    @property
    def reach(self) -> Tensor:
        """Return half of the filter's width in pixels of the source."""
        return _RADIUS[self.interpolation] * (self.length / self.resized).clamp(min=1.0)


def pillow_weights(sources: Tensor, length: Tensor, resized: Tensor, places: Tensor) -> Weights:
    """Return the weights of Pillow's bicubic resize from ``length`` pixels to ``resized``.

    ``sources`` are all positions of the image, ``places`` the wanted ones of the resized image.
    """
    unit = torch.full_like(length, 2**_PILLOW_BITS)
    return Weights(_whole(_Filter(length, resized, "bicubic").weights(sources, places), unit), unit)


def torch_weights(
    sources: Tensor,
    length: Tensor,
    resized: Tensor,
    places: Tensor,
    interpolation: Interpolation,
) -> Weights:
    """Return the weights of torch's resize of uint8 images in integers.

    Their unit follows from the largest weight of all places, wanted or not.

    Source: torch, ``compute_index_ranges_int16_weights`` of UpSampleKernel.
    """
    used = _Filter(length, resized, interpolation)
    powers = 2.0 ** torch.arange(_MOST_BITS, dtype=EXACT, device=length.device)
    fits = torch.floor(0.5 + _largest_weight(used) * 2 * powers) < _LARGEST
    unit = 1 + torch.where(fits, powers, 0.0).sum()  # the power behind the last one that fits
    return Weights(_whole(used.weights(sources, places), unit), unit)


def resized(images: Tensor, down: Weights, across: Weights) -> Tensor:
    """Return float32 images (N, 3, H, W), whole numbers 0..255, resized along rows, then columns.

    Each pass is rounded to 8 bits.
    """
    coarse, fine = _split(across.values.T)
    rows = _rounded(images @ coarse, images @ fine, across.unit)
    coarse, fine = _split(down.values)
    return _rounded(coarse @ rows, fine @ rows, down.unit)


def whole_number(value: Tensor) -> int:
    """Return a positive whole number that is known only when the graph runs."""
    count: Any = value.long().item()  # `int` of it cannot be exported
    torch._check(count >= 1)
    return count  # type: ignore[no-any-return]


def _largest_weight(used: _Filter) -> Tensor:
    """Return the largest weight of all places, each with the sources that its filter reaches."""
    count = whole_number(used.resized)
    taps = whole_number(torch.ceil(2 * used.reach) + 1)
    places = torch.arange(count, dtype=EXACT, device=used.length.device)
    first, _ = used.ends(places)
    offsets = torch.arange(taps, dtype=EXACT, device=used.length.device)
    return used.weights(first.unsqueeze(1) + offsets, places).flatten().amax(dim=0)


def _whole(weights: Tensor, unit: Tensor) -> Tensor:
    """Return the weights in whole numbers of ``1 / unit``; halves are rounded away from 0."""
    return torch.sign(weights) * torch.floor(weights.abs() * unit + 0.5)


def _split(values: Tensor) -> tuple[Tensor, Tensor]:
    coarse = torch.floor(values / _SPLIT)
    return coarse.float(), (values - coarse * _SPLIT).float()


def _rounded(coarse: Tensor, fine: Tensor, unit: Tensor) -> Tensor:
    """Return the 8-bit values of sums of products, as float32."""
    total = coarse.to(EXACT) * _SPLIT + fine.to(EXACT)
    return torch.floor(total / unit + 0.5).clamp(0, 255).float()


def _filtered(distances: Tensor, interpolation: Interpolation) -> Tensor:
    x = distances.abs()
    if interpolation == "bilinear":
        return (1 - x).clamp(min=0)
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
