"""Mixup and CutMix: an image and a random other one of its split become one, and so do targets.

As an image's own changes, both are drawn from (seed, epoch, image id) alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from thaw.data.augmentation import uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.config.data_sections import Augment

_STREAM = 2
_DRAWS = ("partner", "kind", "share", "x", "y")


@dataclass(frozen=True)
class Mixing:
    """How the images of one split, with these ids and targets, are mixed in an epoch."""

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    classes: int
    seed: int
    epoch: int
    config: Augment

    def with_partners(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """``places`` (N,) and then those of their partners, anywhere in the split: (2 N,)."""
        draws = self._draw(places)
        return np.concatenate([places, (draws["partner"] * len(self.ids)).astype(np.int64)])

    def mix(self, pairs: Tensor, places: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Images and their partners (2 N, 3, S, S) at ``places`` (2 N,) -> mixed images, targets.

        The targets are the classes' shares in each image, (N, classes) float32, which add up to 1.
        """
        count = len(places) // 2
        kept, share = self._kept(places[:count], pairs.shape[-1])
        weight = torch.from_numpy(kept).unsqueeze(1).to(pairs.device)
        mixed = pairs[:count] * weight + pairs[count:] * (1 - weight)
        targets = np.zeros((count, self.classes), dtype=np.float32)
        rows, (own, others) = np.arange(count), self.targets[places].reshape(2, count)
        targets[rows, own] = share
        targets[rows, others] += 1 - share
        return mixed, torch.from_numpy(targets).to(pairs.device)

    def _kept(
        self, places: NDArray[np.int64], side: int
    ) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
        """What stays of each image: at each of its points (N, S, S), and as a whole (N,).

        Mixup keeps a share lambda ~ Beta(alpha, alpha) everywhere (Zhang et al. 2018). CutMix keeps
        all but a rectangle with an area of 1 - lambda, cut off at the border (Yun et al. 2019).
        """
        draws, config = self._draw(places), self.config
        cutmix = draws["kind"] < (
            0.5 if config.mixup and config.cutmix else float(config.cutmix > 0)
        )
        # No uniform draw is a Beta variable, but its quantile is.
        alpha = np.where(cutmix, config.cutmix, config.mixup)
        share = betaincinv(alpha, alpha, draws["share"])
        inside, size = {}, np.sqrt(1 - share)
        for axis in ("x", "y"):
            first, last = (np.rint((draws[axis] + half * size) * side) for half in (-0.5, 0.5))
            points = np.arange(side)
            inside[axis] = (points >= first[:, None]) & (points < last[:, None])
        hole = inside["y"][:, :, None] & inside["x"][:, None, :]
        share = np.where(cutmix, 1 - hole.mean(axis=(1, 2)), share).astype(np.float32)
        kept = np.where(cutmix[:, None, None], ~hole, share[:, None, None])
        return kept.astype(np.float32), share

    def _draw(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        columns = uniform(self.seed, self.epoch, self.ids[places], _STREAM, len(_DRAWS)).T
        return dict(zip(_DRAWS, columns, strict=True))
