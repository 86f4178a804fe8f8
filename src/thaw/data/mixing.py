"""Mixup and CutMix: combine an image, and its target, with another random image of its split.

All draws depend on (seed, epoch, image id) only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from thaw.data.device_stream import sent
from thaw.data.random_draws import Stream, named_uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.config.data_sections import FixedAugment

# New names are appended: an inserted one would change the draws after it.
_DRAWS = ("partner", "kind", "fraction", "x", "y")


@dataclass(frozen=True)
class Mixing:
    """The mixing of the images of one split in one epoch.

    ``ids`` (N,) and ``targets`` (N,) are those of the split; ``classes`` is the number of classes.
    """

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    classes: int
    seed: int
    epoch: int
    config: FixedAugment

    def append_partners(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return ``indices`` (N,) followed by the indices of their partners: (2 N,)."""
        draws = self._draw(indices)
        return np.concatenate([indices, (draws["partner"] * len(self.ids)).astype(np.int64)])

    def mix(self, pairs: Tensor, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return mixed images (N, 3, S, S) and, on the CPU, their targets (N, classes) float32.

        ``pairs`` (2 N, 3, S, S) and ``indices`` (2 N,) are those of the images followed by those
        of their partners. The targets are the fraction of each class; a row adds up to 1.
        """
        count = len(indices) // 2
        regions, fraction = self._regions(indices[:count], pairs.shape[-1])
        weights = _pixel_weights(sent(torch.from_numpy(regions), pairs.device), pairs.shape[-1])
        mixed = pairs[:count] * weights + pairs[count:] * (1 - weights)
        targets = np.zeros((count, self.classes), dtype=np.float32)
        rows, (own, others) = np.arange(count), self.targets[indices].reshape(2, count)
        targets[rows, own] = fraction
        targets[rows, others] += 1 - fraction
        return mixed, torch.from_numpy(targets)

    def _regions(
        self, indices: NDArray[np.int64], side: int
    ) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
        """Return the mixed region of each image, and the fraction that is kept of the image (N,).

        A region (N, 5) is a rectangle (first row, row after the last, the same for columns) and the
        weight of the image in it; elsewhere its weight is 1.

        Mixup keeps a fraction lambda ~ Beta(alpha, alpha) of every pixel (Zhang et al. 2018).
        CutMix replaces a rectangle with an area of 1 - lambda, cut off at the border (Yun et al.
        2019).
        """
        from scipy.special import betaincinv  # slow to import

        draws, config = self._draw(indices), self.config
        is_cutmix = draws["kind"] < (
            0.5 if config.mixup and config.cutmix else float(config.cutmix > 0)
        )
        # The quantile function turns a uniform draw into a Beta variable.
        alpha = np.where(is_cutmix, config.cutmix, config.mixup)
        fraction = betaincinv(alpha, alpha, draws["fraction"])
        size = np.sqrt(1 - fraction)
        edges = [draws[axis] + half * size for axis in ("y", "x") for half in (-0.5, 0.5)]
        cut = np.rint(np.stack(edges) * side).clip(0, side)
        area = (cut[1] - cut[0]) * (cut[3] - cut[2]) / side**2
        fraction = np.where(is_cutmix, 1 - area, fraction).astype(np.float32)
        whole = np.array([[0], [side], [0], [side]])
        rectangle, weight = np.where(is_cutmix, cut, whole), np.where(is_cutmix, 0, fraction)
        return np.column_stack([*rectangle, weight]).astype(np.float32), fraction

    def _draw(self, indices: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        return named_uniform(self.seed, self.epoch, self.ids[indices], Stream.MIXING, _DRAWS)


def _pixel_weights(regions: Tensor, side: int) -> Tensor:
    """Return the weight of each pixel (N, 1, S, S), computed on the device of ``regions`` (N, 5).

    A copy of them to a GPU would take 25 MB for 128 images of 224 pixels.
    """
    points = torch.arange(side, dtype=regions.dtype, device=regions.device)
    top, bottom, left, right, weight = regions.T.unsqueeze(-1)
    rows, columns = (points >= top) & (points < bottom), (points >= left) & (points < right)
    inside = (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
    inner = weight.view(-1, 1, 1, 1)
    return torch.where(inside, inner, torch.ones_like(inner))
