"""Resize images as torchvision does, with the same bits, without importing it.

torchvision takes seconds to import. It resizes by :func:`torch.nn.functional.interpolate`, too.
"""

from __future__ import annotations

import functools
import platform
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F

from thaw.data.device_stream import sent

if TYPE_CHECKING:
    from torch import Tensor

Interpolation = Literal["bilinear", "bicubic"]
# Original side over resized side. torch's kernels for GPUs keep the weights of the pixels in memory
# of 48 kB, and refuse bicubic interpolation above 91.
MOST_REDUCED_ON_GPU = 64
# Images of one size from which on matrices repay themselves; on a GPU, torch's own resizing takes
# four times as long.
_MANY = 16
_ROWS_AT_ONCE = 512  # of the identity, for images with very long sides
_TEN_BITS = ~0x1FFF  # of the 23 bits of a float32's mantissa


def resize_images(images: Tensor, height: int, width: int, interpolation: Interpolation) -> Tensor:
    """Return images (N, C, H, W) of type uint8 in another size, with antialiasing.

    torch resizes them in integers where it can, else in float32, rounded. Images that have this
    size are returned as they are, not copied.
    """
    if images.shape[-2:] == (height, width):
        return images
    images = _as_channels_last(images)
    in_integers = _resizes_in_integers(images.device, interpolation)
    resized = _interpolate(images if in_integers else images.float(), height, width, interpolation)
    if in_integers:
        return resized
    if interpolation == "bicubic":  # it overshoots at edges
        resized.clamp_(0, 255)
    return resized.round_().to(images.dtype)


def resize_in_float32(
    images: Tensor, height: int, width: int, interpolation: Interpolation
) -> Tensor:
    """Resize as :func:`resize_images` does, in float32 on any device.

    As Pillow does, and torch in integers, it resizes rows first and rounds them to 8 bits. So it
    differs from both by at most 2 of 255, in few pixels. In one step it would differ by up to 20
    where bicubic interpolation overshoots. Many images are resized by products of matrices.
    """
    if len(images) >= _MANY:
        return resize_by_matrices(images, height, width, interpolation)
    for size in ((images.shape[-2], width), (height, width)):
        if images.shape[-2:] != size:
            resized = _interpolate(images.float(), *size, interpolation)
            images = resized.add_(0.5).clamp_(0, 255).to(images.dtype)  # halves are rounded up
    return images


def resize_by_matrices(
    images: Tensor, height: int, width: int, interpolation: Interpolation
) -> Tensor:
    """Return what :func:`resize_in_float32` returns, by two products of matrices.

    A product may be computed in TF32, with a mantissa of 10 bits: 8-bit values are exact in it, and
    the weights are a sum of two numbers of which the first is exact, too.
    """
    count, channels, old_height, old_width = images.shape
    pixels = images.to(torch.float32, memory_format=torch.contiguous_format)
    if width != old_width:
        first, rest = _matrix(old_width, width, interpolation, images.device)
        rows = pixels.view(-1, old_width)
        pixels = _rounded(torch.mm(rows, first).addmm_(rows, rest))
    pixels = pixels.view(count * channels, old_height, width)
    if height != old_height:
        first, rest = (
            part.T.expand(len(pixels), -1, -1)
            for part in _matrix(old_height, height, interpolation, images.device)
        )
        pixels = _rounded(torch.bmm(first, pixels).baddbmm_(rest, pixels))
    return pixels.view(count, channels, height, width).to(images.dtype)


def _rounded(pixels: Tensor) -> Tensor:
    """Round to whole numbers in 0..255, in place; halves are rounded up."""
    return pixels.add_(0.5).floor_().clamp_(0, 255)


def _matrix(
    old: int, new: int, interpolation: Interpolation, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return :func:`_made_matrix` for use on the current stream of ``device``."""
    found = _made_matrix(old, new, interpolation, device)
    if device.type == "cuda":
        for part in found:  # it may leave the cache before the GPU has used it
            part.record_stream(torch.cuda.current_stream(device))
    return found


@functools.lru_cache(maxsize=32)
def _made_matrix(
    old: int, new: int, interpolation: Interpolation, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return two matrices (old, new) whose sum resizes a row of ``old`` pixels to ``new`` pixels.

    The mantissa of the first one has 10 bits. torch itself makes them: the matrix of a linear map
    is what the map makes of the identity.
    """
    with torch.inference_mode(mode=False), torch.no_grad():
        parts = []
        for start in range(0, old, _ROWS_AT_ONCE):
            rows = torch.zeros(min(_ROWS_AT_ONCE, old - start), old)
            rows.diagonal(start).fill_(1)
            parts.append(_interpolate(rows[None, None], len(rows), new, interpolation)[0, 0])
        whole = torch.cat(parts)
        first = (whole.view(torch.int32) & _TEN_BITS).view(torch.float32)
        return sent(first, device), sent(whole - first, device)


def _interpolate(images: Tensor, height: int, width: int, interpolation: Interpolation) -> Tensor:
    return F.interpolate(
        images, size=[height, width], mode=interpolation, align_corners=False, antialias=True
    )


def _as_channels_last(images: Tensor) -> Tensor:
    """Return a view of a single image that torch takes as channels_last.

    Without it, torch copies the image first (pytorch/pytorch#68430).
    """
    is_single = len(images) == 1 and images.is_contiguous(memory_format=torch.channels_last)
    if not is_single:
        return images
    return images.as_strided(images.shape, [images.numel(), *images.stride()[1:]])


def _resizes_in_integers(device: torch.device, interpolation: Interpolation) -> bool:
    """Return whether torch resizes images of type uint8 without a conversion to float32."""
    if device.type != "cpu":
        return False
    if interpolation == "bicubic":
        return True
    has_avx2 = torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
    return has_avx2 or platform.machine() in {"aarch64", "arm64"}
