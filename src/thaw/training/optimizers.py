"""Build an optimiser by its name.

To add one, add its name to ``OptimizerName`` in ``config/training_sections.py`` and its function
to ``_BUILDERS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim import Optimizer

    from thaw.config.training_sections import OptimizerName

Groups = list[dict[str, Any]]


def build(name: OptimizerName, groups: Groups) -> Optimizer:
    """Return the optimiser ``name`` for ``groups``; its weight decay is decoupled (AdamW, SGDW)."""
    return _BUILDERS[name](groups)


def _adamw(groups: Groups) -> Optimizer:
    """Return AdamW, fused: one pass over the parameters in each step.

    Source: Loshchilov & Hutter 2019.
    """
    return torch.optim.AdamW(groups, fused=True)


def _sgd(groups: Groups) -> Optimizer:
    """Return SGD with Nesterov momentum 0.9 and the weight decay of SGDW.

    torch's own weight decay would be added to the gradient and so to the momentum.

    Source: Loshchilov & Hutter 2019.
    """
    decoupled = [_with_decoupled_decay(group) for group in groups]
    optimizer = torch.optim.SGD(decoupled, momentum=0.9, nesterov=True, foreach=True)
    optimizer.register_step_pre_hook(_decay)
    return optimizer


def _lamb(groups: Groups) -> Optimizer:
    """Return LAMB: Adam's step, scaled for each matrix by norm(weights) / norm(step).

    Vectors are not scaled, as in the paper's experiments. Groups with weights that all start at 0,
    as in a new head, are not scaled either: the scale would be 0, and they would never change.

    Source: You et al. 2020.
    """
    from timm.optim import Lamb

    settled = [
        {**group, "always_adapt": True, "decoupled_decay": 0.0}
        if _can_scale(group)
        else _with_decoupled_decay(group)
        for group in groups
    ]
    optimizer: Optimizer = Lamb(settled, max_grad_norm=None)  # gradients are clipped before
    optimizer.register_step_pre_hook(_decay)
    return optimizer


_BUILDERS: dict[OptimizerName, Callable[[Groups], Optimizer]] = {
    "adamw": _adamw,
    "sgd": _sgd,
    "lamb": _lamb,
}


def _can_scale(group: dict[str, Any]) -> bool:
    return all(p.ndim > 1 and bool(p.any()) for p in group["params"])


def _with_decoupled_decay(group: dict[str, Any]) -> dict[str, Any]:
    return {**group, "weight_decay": 0.0, "decoupled_decay": group["weight_decay"]}


@torch.no_grad()
def _decay(optimizer: Optimizer, *_: Any) -> None:
    """Shrink the weights of every group with a decoupled weight decay."""
    for group in optimizer.param_groups:
        if group["decoupled_decay"]:
            for parameter in group["params"]:
                if parameter.grad is not None:  # parameters of a frozen block do not decay
                    parameter.mul_(1 - group["lr"] * group["decoupled_decay"])
