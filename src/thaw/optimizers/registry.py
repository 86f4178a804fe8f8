"""The registry of optimisers: one entry has the name and the function that builds the optimiser.

Training, the estimate of memory and the checks of ``params.yaml`` read it. To add an optimiser, add
an entry to ``OPTIMIZERS``; nothing else changes. The registry lies below the configuration, which
takes the valid names from it. Commands that only read names do not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim import Optimizer

Groups = list[dict[str, Any]]


def build(name: str, groups: Groups, *, fused: bool = False) -> Optimizer:
    """Return the optimiser ``name`` for ``groups``; its weight decay is decoupled (AdamW, SGDW).

    With ``fused``, the optimiser skips the update where its attribute ``found_inf`` is 1, without
    reading it; AdamW and SGD update all parameters in one kernel.
    """
    return OPTIMIZERS[name].build(groups, fused)


def _adamw(groups: Groups, fused: bool) -> Optimizer:  # noqa: ARG001, FBT001
    """Return AdamW, always fused: one pass over the parameters in each step.

    Source: Loshchilov & Hutter 2019.
    """
    import torch

    return torch.optim.AdamW(groups, fused=True)


def _sgd(groups: Groups, fused: bool) -> Optimizer:  # noqa: FBT001
    """Return SGD with Nesterov momentum 0.9 and the weight decay of SGDW.

    torch's own weight decay would be added to the gradient and so to the momentum.

    Source: Loshchilov & Hutter 2019.
    """
    import torch

    decoupled = [_with_decoupled_decay(group) for group in groups]
    # torch has no fused SGD for the divided parameters of sharded training (DTensor).
    weights = [weight for group in groups for weight in group["params"]]
    fused = fused and not any(hasattr(weight, "to_local") for weight in weights)
    optimizer = torch.optim.SGD(
        decoupled, momentum=0.9, nesterov=True, foreach=not fused, fused=fused
    )
    if fused:
        # Without them, torch allocates uninitialised buffers in the first step, and where that
        # step is skipped, the second one reads them. From zeros it computes the same values.
        for weight in weights:
            optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    optimizer.register_step_pre_hook(_decay)
    return optimizer


def _lamb(groups: Groups, fused: bool) -> Optimizer:  # noqa: FBT001
    """Return LAMB: Adam's step, scaled for each matrix by norm(weights) / norm(step).

    Vectors are not scaled, as in the paper's experiments. Groups with weights that all start at 0,
    as in a new head, are not scaled either: the scale would be 0, and they would never change.

    Source: You et al. 2020.
    """
    settled = [
        {**group, "always_adapt": True, "decoupled_decay": 0.0}
        if _can_scale(group)
        else _with_decoupled_decay(group)
        for group in groups
    ]
    optimizer = _deferred_lamb(settled) if fused else _timm_lamb(settled)
    optimizer.register_step_pre_hook(_decay)
    return optimizer


def _deferred_lamb(groups: Groups) -> Optimizer:
    from thaw.optimizers.deferred_lamb import DeferredLamb

    return DeferredLamb(groups)


def _timm_lamb(groups: Groups) -> Optimizer:
    from timm.optim import Lamb

    optimizer: Optimizer = Lamb(groups, max_grad_norm=None)  # gradients are clipped before
    return optimizer


@dataclass(frozen=True)
class Kind:
    """An optimiser, and what the configuration and the estimate of memory say about it.

    ``build`` takes the groups of parameters and ``fused`` of :func:`build`. ``moments`` are the
    numbers that it keeps for each weight. ``settings`` are fixed values that a user should know.
    """

    build: Callable[[Groups, bool], Optimizer]
    moments: int
    source: str
    settings: str = ""


OPTIMIZERS = {
    "adamw": Kind(_adamw, moments=2, source="Loshchilov & Hutter 2019"),
    "sgd": Kind(_sgd, moments=1, source="Sutskever et al. 2013", settings="Nesterov momentum 0.9"),
    "lamb": Kind(_lamb, moments=2, source="You et al. 2020"),
}


def _can_scale(group: dict[str, Any]) -> bool:
    return all(p.ndim > 1 and bool(p.any()) for p in group["params"])


def _with_decoupled_decay(group: dict[str, Any]) -> dict[str, Any]:
    return {**group, "weight_decay": 0.0, "decoupled_decay": group["weight_decay"]}


def _decay(optimizer: Optimizer, *_: Any) -> None:
    """Shrink the weights of every group with a decoupled weight decay, unless it is skipped."""
    import torch

    found_inf = getattr(optimizer, "found_inf", None)
    for group in optimizer.param_groups:
        # parameters of a frozen block do not decay
        weights = [p for p in group["params"] if p.grad is not None]
        if group["decoupled_decay"] and weights:
            share = group["lr"] * group["decoupled_decay"]
            factor = 1 - share if found_inf is None else 1 - (1 - found_inf) * share
            with torch.no_grad():
                torch._foreach_mul_(weights, factor)
