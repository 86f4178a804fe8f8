"""A network, written as a chain of modules, cut into blocks and a pool.

A library of networks says the chain (``torchvision_nets``, ``timm_nets``, ``lenet``); where the
blocks begin, and whether the chain equals the network, is decided here for all of them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Collection

Layout = Literal["NCHW", "NHWC", "NLC"]
_TOLERANCE = 1e-4  # of the largest logit; another order of summing alone moves them by 1e-6


class CutError(Exception):
    """Why a network cannot be cut."""


@dataclass(frozen=True)
class Normal:
    """What a network's weights were made for: RGB values of 0..1, normalised, and a size."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    image_size: int = 224


@dataclass(frozen=True)
class Chain:
    """A network, as ``last(pool(steps[-1](... steps[0](images))))``.

    ``last`` is the network's own last linear layer, which the head replaces: in a few networks a
    convolution of 1 x 1, or nothing (``nn.Identity``) where it reads ``width`` features.
    ``layout`` is that of what the blocks put out.
    """

    steps: list[nn.Module]
    pool: nn.Module
    last: nn.Module
    layout: Layout = "NCHW"
    width: int = 0

    @property
    def features(self) -> int:
        """How many features ``last``, and so the head, reads."""
        match self.last:
            case nn.Linear():
                return self.last.in_features
            case nn.Conv2d():
                return self.last.in_channels
            case nn.Identity():
                return self.width
        raise CutError(f"its classifier, a {type(self.last).__name__}, is not one linear layer")


class Dense(nn.Module):
    """A fully connected layer as a step: (N, C, H, W) -> (N, F, 1, 1)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, F, 1, 1)."""
        return as_layout(self.linear(x.flatten(1)), "NCHW")


def average() -> nn.Module:
    """Maps (N, C, H, W) -> their means (N, C)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


def as_layout(features: Tensor, layout: Layout) -> Tensor:
    """(N, F) -> a map of one pixel, or one token: all blocks put out the same number of axes."""
    if layout == "NCHW":
        return features[:, :, None, None]
    return features[:, None, None, :] if layout == "NHWC" else features[:, None, :]


def without(module: nn.Module, dropped: Collection[nn.Module]) -> nn.Module:
    """``module`` with nothing in the place of ``dropped``; what is left is shared, not copied."""
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
    """The chain in blocks: a step with weight matrices begins one, any other joins the one before.

    So a norm, an activation or a pooling is in the block that feeds it.

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


def prove(network: nn.Module, chain: Chain, parts: list[nn.Module], size: int) -> None:
    """Hold ``parts`` and the chain's pool against ``network`` on one image of ``size`` pixels.

    Raises:
        CutError: they put out other logits, or something else than the chain's layout.
        Exception: whatever ``network`` raises that takes no images of this size.
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
                raise CutError(f"what its blocks put out is not {chain.layout} throughout")
        features = _run(chain.pool, x)
        is_map = isinstance(chain.last, nn.Conv2d)
        logits = _run(chain.last, as_layout(features, "NCHW") if is_map else features).flatten(1)
    if not isinstance(expected, Tensor) or logits.shape != expected.shape:
        raise CutError("its parts, one after the other, are not the whole")
    scale = float(expected.abs().max()) or 1.0
    if not torch.allclose(logits, expected, rtol=0.0, atol=_TOLERANCE * scale, equal_nan=True):
        raise CutError("its parts, one after the other, put out other logits than the whole")


def _run(part: nn.Module, x: Tensor) -> Tensor:
    try:
        result: Any = part(x)
    except Exception as error:  # whatever a module raises at an input that it was not made for
        raise CutError("its parts do not run one after the other") from error
    if not isinstance(result, Tensor):
        raise CutError("one of its parts puts out more than one tensor")
    return result
