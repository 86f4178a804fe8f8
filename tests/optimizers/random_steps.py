"""Parameter groups and steps with random gradients, for the tests of optimisers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from thaw.training.parameter_groups import parameter_groups, parameters_of

if TYPE_CHECKING:
    from thaw.model.classifier import Classifier


def groups(model: Classifier, **changes: float) -> list[dict[str, Any]]:
    values = {"lr": 0.1, "lr_decay": 0.5, "weight_decay": 0.01, **changes}
    return parameter_groups(model, **values)


def step(optimizer: torch.optim.Optimizer, seed: int = 0, scale: float = 1.0) -> None:
    """Make one step with a random gradient for every trainable parameter."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters_of(optimizer):
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.grad = torch.zeros_like(parameter).copy_(noise)
    optimizer.step()
    optimizer.zero_grad()
