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
        mask, fraction = self._kept(indices[:count], pairs.shape[-1])
        weight = sent(torch.from_numpy(mask).unsqueeze(1), pairs.device)
        mixed = pairs[:count] * weight + pairs[count:] * (1 - weight)
        targets = np.zeros((count, self.classes), dtype=np.float32)
        rows, (own, others) = np.arange(count), self.targets[indices].reshape(2, count)
        targets[rows, own] = fraction
        targets[rows, others] += 1 - fraction
        return mixed, torch.from_numpy(targets)

    def _kept(
        self, indices: NDArray[np.int64], side: int
    ) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
        """Return the fraction of each image that is kept: per pixel (N, S, S) and in total (N,).

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
        inside, size = {}, np.sqrt(1 - fraction)
        for axis in ("x", "y"):
            first, last = (np.rint((draws[axis] + half * size) * side) for half in (-0.5, 0.5))
            points = np.arange(side)
            inside[axis] = (points >= first[:, None]) & (points < last[:, None])
        hole = inside["y"][:, :, None] & inside["x"][:, None, :]
        fraction = np.where(is_cutmix, 1 - hole.mean(axis=(1, 2)), fraction).astype(np.float32)
        mask = np.where(is_cutmix[:, None, None], ~hole, fraction[:, None, None])
        return mask.astype(np.float32), fraction

    def _draw(self, indices: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        return named_uniform(self.seed, self.epoch, self.ids[indices], Stream.MIXING, _DRAWS)
