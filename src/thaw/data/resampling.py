"""Crop, rotate, scale, shift and mirror images in one step of interpolation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor

    from thaw.config.data_sections import FixedAugment

_MAX_LOG_RATIO = math.log(4 / 3)  # of a crop's aspect ratio, as in Szegedy et al. 2015


def resample(
    images: Tensor, draws: dict[str, Tensor], config: FixedAugment, mirrored: Tensor | None
) -> Tensor:
    """Crop, rotate, scale and shift in one step, so that an image is interpolated once.

    ``images`` are (N, C, H, W), ``draws`` (N,) each, uniform in 0..1.
    With ``mirrored`` (N,), whole batches are computed, and these images are mirrored in the same
    step.
    """
    angle = (2 * draws["rotate"] - 1) * math.radians(config.rotate)
    scale = torch.exp((2 * draws["zoom"] - 1) * math.log1p(config.zoom))
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    # Rows of the map from output positions to input positions, both in -1..1.
    across = torch.stack([cosine, -sine, (2 * draws["shift_x"] - 1) * 2 * config.shift], dim=1)
    down = torch.stack([sine, cosine, (2 * draws["shift_y"] - 1) * 2 * config.shift], dim=1)
    theta = torch.stack([across, down], dim=1)
    if config.crop:
        sides, centre = _crop_window(draws, config.crop)
        theta = theta * sides.unsqueeze(2)  # positions within the window ...
        theta[:, :, 2] += centre  # ... whose centre is here
    if mirrored is not None:
        theta[:, :, 0] *= torch.where(mirrored, -1.0, 1.0).unsqueeze(1)
        grid = _affine_grid(theta, *images.shape[-2:])
    else:
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _affine_grid(theta: Tensor, height: int, width: int) -> Tensor:
    """Return what ``F.affine_grid`` returns for ``theta`` (N, 2, 3): (N, H, W, 2).

    It has no matrix product, which a GPU may compute in TF32: positions would be wrong by a tenth
    of a pixel.
    """
    down, across = (
        (2 * torch.arange(count, device=theta.device, dtype=theta.dtype) + 1) / count - 1
        for count in (height, width)
    )
    rows = theta[:, None, None, :, 0] * across.view(1, 1, -1, 1)
    return rows + theta[:, None, None, :, 1] * down.view(1, -1, 1, 1) + theta[:, None, None, :, 2]


def _crop_window(draws: dict[str, Tensor], crop: float) -> tuple[Tensor, Tensor]:
    """Return the sides (fractions of the image's) and the centre (-1..1) of crops: (N, 2) each.

    The area is uniform in [1 - crop, 1]. The aspect ratio is log-uniform in [3/4, 4/3], narrowed
    so that the window fits into the image (Szegedy et al. 2015 draw again until it does).
    """
    area = 1 - crop * draws["crop_area"]
    log_ratio = (2 * draws["crop_ratio"] - 1) * (-area.log()).clamp(max=_MAX_LOG_RATIO)
    root, half = area.sqrt(), (log_ratio / 2).exp()
    sides = torch.stack([root * half, root / half], dim=1).clamp(max=1)
    positions = torch.stack([draws["crop_x"], draws["crop_y"]], dim=1)
    return sides, (2 * positions - 1) * (1 - sides)
