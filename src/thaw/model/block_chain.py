"""Cut a network that is written as a chain of modules into blocks and a pool.

The modules ``torchvision_backbones``, ``timm_backbones`` and ``lenet`` write the networks of their
library as chains. This module decides where the blocks begin, and checks that the chain computes
the same as the network.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Collection

    from thaw.data.resizing import Interpolation
    from thaw.model.classifier import Layout

_TOLERANCE = 1e-4  # relative to the largest logit; another order of summation changes them by 1e-6


class CutError(Exception):
    """A network cannot be cut; the message is the reason."""


@dataclass(frozen=True)
class InputSettings:
    """The input that weights were trained on: normalisation of RGB values in 0..1, and size."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bilinear"
    image_size: int = 224


@dataclass(frozen=True)
class Chain:
    """A network as the chain ``last(pool(steps[-1](... steps[0](images))))``.

    ``last`` is the last linear layer of the network, which the head replaces. In a few networks it
    is a 1 x 1 convolution, or absent (``nn.Identity``), with ``width`` features as its input.
    ``layout`` is the layout of the blocks' outputs.
    """

    steps: list[nn.Module]
    pool: nn.Module
    last: nn.Module
    layout: Layout = "NCHW"
    width: int = 0

    @property
    def features(self) -> int:
        """The number of features that ``last``, and so the head, reads."""
        match self.last:
            case nn.Linear():
                return self.last.in_features
            case nn.Conv2d():
                return self.last.in_channels
            case nn.Identity():
                return self.width
        raise CutError(f"its classifier, a {type(self.last).__name__}, is not one linear layer")


class LinearStep(nn.Module):
    """A linear layer as a step of a chain: (N, C, H, W) -> (N, F, 1, 1)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (N, F, 1, 1)."""
        return as_layout(self.linear(x.flatten(1)), "NCHW")


def average_pool() -> nn.Module:
    """Return a module that maps (N, C, H, W) to the means (N, C)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


def as_layout(features: Tensor, layout: Layout) -> Tensor:
    """Return features (N, F) as a map of one pixel or as one token, depending on ``layout``."""
    if layout == "NCHW":
        return features[:, :, None, None]
    return features[:, None, None, :] if layout == "NHWC" else features[:, None, :]


def without(module: nn.Module, dropped: Collection[nn.Module]) -> nn.Module:
    """Return ``module`` without the parts ``dropped``; the other parts are shared, not copied."""
    if any(module is part for part in dropped):
        # a container may be called as one, and may be iterated over
        return nn.Sequential()
    copied = copy.copy(module)
    copied._modules = {
        name: part if part is None else without(part, dropped)
        for name, part in module._modules.items()
    }
    return copied


def blocks(chain: Chain) -> list[nn.Module]:
    """Return the blocks of the chain. A step with weight matrices begins a new block.

    All other steps (normalisation, activation, pooling) belong to the block before them.

    Raises:
        CutError: no step has weights.
    """
    groups: list[list[nn.Module]] = []
    before: list[nn.Module] = []
    for step in chain.steps:
        if any(parameter.ndim > 1 for parameter in step.parameters()):
            groups.append([*before, step])
            before = []
        else:
            (groups[-1] if groups else before).append(step)
    if not groups:
        raise CutError("it has no layers with weights below its classifier")
    return [group[0] if len(group) == 1 else nn.Sequential(*group) for group in groups]


def check_cut(network: nn.Module, chain: Chain, parts: list[nn.Module], size: int) -> None:
    """Check on one image that ``parts`` and the pool compute the same as ``network``.

    The image has ``size`` x ``size`` pixels.

    Raises:
        CutError: the logits differ, or the output of a block does not have the chain's layout.
        Exception: the error of ``network`` if it does not accept images of this size.
    """
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    for part in (network, *parts, chain.pool):  # some parts are copies of the network's
        part.eval()
    axes = 3 if chain.layout == "NLC" else 4
    with torch.no_grad():
        expected: Any = network(image)
        x = image
        for part in parts:
            x = _run(part, x)
            if x.ndim != axes:
                raise CutError(f"the outputs of its blocks are not {chain.layout} everywhere")
        features = _run(chain.pool, x)
        is_map = isinstance(chain.last, nn.Conv2d)
        logits = _run(chain.last, as_layout(features, "NCHW") if is_map else features).flatten(1)
    if not isinstance(expected, Tensor) or logits.shape != expected.shape:
        raise CutError("its parts, run one after the other, do not make the network")
    scale = float(expected.abs().max()) or 1.0
    if not torch.allclose(logits, expected, rtol=0.0, atol=_TOLERANCE * scale, equal_nan=True):
        raise CutError("its parts, run one after the other, compute other logits than the network")


def _run(part: nn.Module, x: Tensor) -> Tensor:
    try:
        result: Any = part(x)
    except Exception as error:  # a module may raise anything for an unexpected input
        raise CutError("its parts do not run one after the other") from error
    if not isinstance(result, Tensor):
        raise CutError("the output of one of its parts is not one tensor")
    return result
