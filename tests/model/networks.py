"""Inputs and contents of small networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def images(count: int = 4) -> Tensor:
    """Return images of noise."""
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def state(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the parameters and buffers."""
    return {key: value.clone() for key, value in module.state_dict().items()}


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the BatchNorms of a network."""
    return [child for child in module.modules() if isinstance(child, nn.BatchNorm2d)]
