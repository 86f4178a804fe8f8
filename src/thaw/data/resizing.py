"""Resize images as torchvision does, with the same bits, without importing it.

torchvision takes seconds to import. It resizes by :func:`torch.nn.functional.interpolate`, too.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor

Interpolation = Literal["bilinear", "bicubic"]
# Original side over resized side. torch's kernels for GPUs keep the weights of the pixels in memory
# of 48 kB, and refuse bicubic interpolation above 91.
MOST_REDUCED_ON_GPU = 64


def resize_images(images: Tensor, height: int, width: int, interpolation: Interpolation) -> Tensor:
    """Return images (N, C, H, W) of type uint8 in another size, with antialiasing.

    torch resizes them in integers where it can, else in float32, rounded.
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
    """Return what :func:`resize_images` returns, computed in float32 on any device.

    As Pillow does, and torch in integers, it resizes rows first and rounds them to 8 bits. So it
    differs from both by at most 2 of 255, in few pixels. In one step it would differ by up to 20
    where bicubic interpolation overshoots.
    """
    for size in ((images.shape[-2], width), (height, width)):
        if images.shape[-2:] != size:
            resized = _interpolate(images.float(), *size, interpolation)
            images = resized.add_(0.5).clamp_(0, 255).to(images.dtype)  # halves are rounded up
    return images


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
