"""Grad-CAM: the regions of an image that raise the score of a class.

Source: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks".
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thaw.model.float32 import strict_float32

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from thaw.model.classifier import Classifier, Layout


@strict_float32()
def heat_maps(
    classifier: Classifier, inputs: Tensor, classes: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Return a map (N, S, S) for each of the ``inputs`` (N, 3, S, S), with values in 0..1.

    A value tells how much the region raises the logit of the class in ``classes`` (N,), through the
    output of the last block. None if that output has no positions.
    """
    with _seam(classifier.eval()) as seam, torch.enable_grad():
        scores = classifier(inputs)[torch.arange(len(inputs)), torch.from_numpy(classes)]
        if seam.maps is None:
            return None
        (gradients,) = torch.autograd.grad(scores.sum(), seam.maps)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    found = (weights * seam.maps).sum(dim=1, keepdim=True).relu()
    # With mirrored views there are 2 N maps; the first N are those of the images themselves.
    maps = F.interpolate(
        found.detach()[: len(inputs)], inputs.shape[-2:], mode="bilinear", align_corners=False
    )[:, 0]
    highest = maps.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    return np.asarray((maps / highest).cpu().numpy(), dtype=np.float64)


def overlaid(pixels: NDArray[np.uint8], heat: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the image (S, S, 3) with its map (S, S) in colours over it."""
    from matplotlib import colormaps

    colours = colormaps["turbo"](heat)[..., :3] * 255
    share = 0.65 * heat[..., None]
    return np.asarray((1 - share) * pixels + share * colours, dtype=np.uint8)


class _Seam(nn.Module):
    """A block that records its output as maps (N, C, H, W), which gradients can be taken of.

    ``maps`` is None after an output without positions.
    """

    def __init__(self, block: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.block = block
        self.layout: Layout = layout
        self.maps: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the output of the block, in its own layout."""
        outputs: Tensor = self.block(inputs).detach()
        if outputs.ndim == 2:
            return outputs
        if self.layout == "NCHW":
            return self._recorded(outputs)
        if self.layout == "NHWC":
            return self._recorded(outputs.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        # Tokens: the first ones may belong to no position of the image.
        side = math.isqrt(outputs.shape[1])
        others, tokens = outputs[:, : -(side**2)], outputs[:, -(side**2) :]
        maps = self._recorded(tokens.transpose(1, 2).reshape(len(tokens), -1, side, side))
        return torch.cat([others, maps.flatten(2).transpose(1, 2)], dim=1)

    def _recorded(self, maps: Tensor) -> Tensor:
        self.maps = maps.requires_grad_()
        # A copy, because the pool may change its input in place.
        return self.maps.clone()


@contextlib.contextmanager
def _seam(classifier: Classifier) -> Iterator[_Seam]:
    """Put a seam in the place of the last block while the context is open."""
    last = classifier.blocks[-1]
    seam = _Seam(last, classifier.layout)
    classifier.blocks[-1] = seam
    try:
        yield seam
    finally:
        classifier.blocks[-1] = last
