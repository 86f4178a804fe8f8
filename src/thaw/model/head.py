"""The head: a small network from pooled features to logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from thaw.config.model_sections import Head


class RowBatchNorm(nn.BatchNorm1d):
    """BatchNorm on rows (N, C) that also takes a training batch of a single row.

    One row has no variance: the running statistics normalise it, and do not move. Such a batch
    is what may be left over at the end of an epoch.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C) -> (N, C)."""
        if self.training and len(x) == 1:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


def build(config: Head, features: int, classes: int, seed: int = 0) -> nn.Sequential:
    """Features (N, F) -> logits (N, classes), through hidden layers of ``config.hidden`` widths.

    A hidden layer is dropout, a linear map, the normalisation if there is one, the activation.
    The last layer starts at zero: the first logits are equal, and its first
    gradients do not depend on a draw.
    """
    layers: list[nn.Module] = []
    width = features
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for hidden in config.hidden:
            layers += [nn.Dropout(config.dropout), nn.Linear(width, hidden)]
            layers += [*_norm(config, hidden), _activation(config)]
            width = hidden
        last = nn.Linear(width, classes)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, nn.Dropout(config.dropout), last)


def _norm(config: Head, width: int) -> list[nn.Module]:
    if config.norm == "none":
        return []
    return [RowBatchNorm(width) if config.norm == "batch" else nn.LayerNorm(width)]


def _activation(config: Head) -> nn.Module:
    kinds: dict[str, type[nn.Module]] = {
        "relu": nn.ReLU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "tanh": nn.Tanh,
    }
    return kinds[config.activation]()
