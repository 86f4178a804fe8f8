"""The head: a small network from pooled features to logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from thaw.config import Head


def build(config: Head, features: int, classes: int, seed: int = 0) -> nn.Sequential:
    """Features (N, F) -> logits (N, classes), through hidden layers of ``config.hidden`` widths.

    The last layer starts at zero: the first logits are equal, and its first
    gradients do not depend on a draw.
    """
    layers: list[nn.Module] = []
    width = features
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for hidden in config.hidden:
            layers += [nn.Dropout(config.dropout), nn.Linear(width, hidden), nn.ReLU()]
            width = hidden
        last = nn.Linear(width, classes)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, nn.Dropout(config.dropout), last)
