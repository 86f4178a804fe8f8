"""The head: a small network from pooled features to logits.

A new head type or head parameter is added here and in the section ``head`` of the configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from thaw.literals import Activation, HeadNorm
from thaw.model.initialization import seeded

if TYPE_CHECKING:
    from collections.abc import Callable

Count = Annotated[int, Field(ge=1)]
ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class HeadSpec(BaseModel):
    """The structure of a head, as ``model.json`` stores it.

    ``taps`` are the numbers (1 .. n) of the blocks that the head reads; none means the last one.
    ``hidden`` are the widths of the hidden layers. A new parameter needs a default: models that
    were written before have none for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    taps: list[Count] = []
    hidden: list[Count] = []
    activation: Activation = "relu"
    norm: HeadNorm = "none"
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


class RowBatchNorm(nn.BatchNorm1d):
    """BatchNorm on rows (N, C) that also accepts a training batch of one row.

    One row has no variance, so the running statistics normalise it and do not change. The last
    batch of an epoch may have one row.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised rows (N, C)."""
        if self.training and len(x) == 1:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


def build(spec: HeadSpec, features: int, classes: int, seed: int = 0) -> nn.Sequential:
    """Return a head: features (N, ``features``) -> logits (N, ``classes``).

    A hidden layer is dropout, a linear map, the normalisation if there is one, the activation. The
    last layer starts at zero, so that all first logits are equal and the first gradients do not
    depend on a random draw.
    """
    layers: list[nn.Module] = []
    width = features
    with seeded(seed):
        for hidden in spec.hidden:
            layers += [nn.Dropout(spec.dropout), nn.Linear(width, hidden)]
            layers += [*_norm(spec, hidden), ACTIVATIONS[spec.activation]()]
            width = hidden
        last = nn.Linear(width, classes)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, nn.Dropout(spec.dropout), last)


def widths(spec: HeadSpec, classes: int) -> list[int]:
    """Return the number of outputs of each linear layer of the head that :func:`build` returns."""
    return [*spec.hidden, classes]


def input_width(head: nn.Module) -> int:
    """Return the number of features (the width C of the rows) that ``head`` reads."""
    return int(next(weight.shape[1] for weight in head.parameters() if weight.ndim == 2))


def _norm(spec: HeadSpec, width: int) -> list[nn.Module]:
    if spec.norm == "none":
        return []
    return [RowBatchNorm(width) if spec.norm == "batch" else nn.LayerNorm(width)]
