"""Optimisers and their parameter groups: a rate a block, no weight decay where it does harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from thaw.model.classifier import Classifier

Name = Literal["adamw", "sgd", "lamb"]


def parameter_groups(
    classifier: Classifier, *, lr: float, lr_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Every trainable parameter in exactly one group, as the optimisers of torch take them.

    The head learns at ``lr``; a block at ``lr * lr_decay ** distance``, where the last block's
    distance to the head is 1 (discriminative learning rates, Howard & Ruder 2018).
    Vectors (biases, norms, affine maps) get no weight decay. ``base_lr`` is what the
    schedule scales; ``names`` are those of the parameters.
    """
    count = len(classifier.blocks)
    parts: list[tuple[str, nn.Module, int]] = [("head", classifier.head, 0)]
    parts += [
        (f"blocks.{index}", classifier.blocks[index], count - index)
        for index in reversed(range(count))
    ]
    groups = []
    for prefix, module, distance in parts:
        rate = lr * lr_decay**distance
        named = [
            (f"{prefix}.{name}", parameter)
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        ]
        for is_matrix in (True, False):
            chosen = [(n, p) for n, p in named if (p.ndim > 1) == is_matrix]
            if chosen:
                groups.append(
                    {
                        "params": [parameter for _, parameter in chosen],
                        "names": [name for name, _ in chosen],
                        "lr": rate,
                        "base_lr": rate,
                        "weight_decay": weight_decay if is_matrix else 0.0,
                    }
                )
    return groups


def build(name: Name, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimiser ``name`` on ``groups``; weight decay is decoupled in all of them.

    - ``adamw``: fused, one pass over the parameters a step (Loshchilov & Hutter 2019).
    - ``sgd``: Nesterov momentum 0.9; the decay is SGDW's (same paper) and not torch's own, which
      would add it to the gradient and so to the momentum.
    - ``lamb``: Adam's step, scaled for each matrix by the norm of the weights over that of the
      step (You et al. 2020). Vectors are not scaled, as in the paper's experiments; nor are
      groups with weights that all start at 0, as a new head's: the scale would hold them there.
    """
    if name == "adamw":
        return torch.optim.AdamW(groups, fused=True)
    if name == "sgd":
        apart = [_decayed_apart(group) for group in groups]
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            apart, momentum=0.9, nesterov=True, foreach=True
        )
    else:
        from timm.optim import Lamb

        scaled = [_may_scale(group) for group in groups]
        apart = [
            {**group, "always_adapt": True, "decayed_apart": 0.0}
            if adapt
            else _decayed_apart(group)
            for group, adapt in zip(groups, scaled, strict=True)
        ]
        optimizer = Lamb(apart, max_grad_norm=None)  # clipped already, by the user's own norm
    optimizer.register_step_pre_hook(_decay)
    return optimizer


def state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All that the optimiser keeps from step to step, for a checkpoint."""
    tensors = {
        f"group.{place}.{key}": value
        for place, group in enumerate(optimizer.param_groups)
        for key, value in group.items()
        if isinstance(value, torch.Tensor)  # LAMB counts its steps by the group
    }
    for place, parameter in enumerate(parameters(optimizer)):
        if parameter in optimizer.state:  # asking for it would make an entry
            for key, value in optimizer.state[parameter].items():
                tensors[f"{place}.{key}"] = value
    return tensors


def restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give ``optimizer`` back what :func:`state` returned, to the bit."""
    every = parameters(optimizer)
    for name, value in tensors.items():
        kind, _, key = name.partition(".")
        if kind == "group":
            place, _, key = key.partition(".")
            optimizer.param_groups[int(place)][key] = value.clone()
            continue
        parameter = every[int(kind)]
        # In the parameter's own memory format, as the optimiser itself would make it.
        like = parameter if value.ndim else value
        kept = torch.empty_like(like, device=parameter.device)
        optimizer.state[parameter][key] = kept.copy_(value)


def forget_idle_steps(optimizer: torch.optim.Optimizer) -> None:
    """Let a group whose parameters had no step yet count its steps from its first one.

    LAMB counts a group's steps also while the group has no gradient, and would take its first
    moments for settled ones when it thaws.
    """
    for group in optimizer.param_groups:
        if "step" in group and not any(p in optimizer.state for p in group["params"]):
            del group["step"]


def parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All parameters that ``optimizer`` moves, in order."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def _may_scale(group: dict[str, Any]) -> bool:
    return all(p.ndim > 1 and bool(p.any()) for p in group["params"])


def _decayed_apart(group: dict[str, Any]) -> dict[str, Any]:
    return {**group, "weight_decay": 0.0, "decayed_apart": group["weight_decay"]}


@torch.no_grad()
def _decay(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for group in optimizer.param_groups:
        if group["decayed_apart"]:
            for parameter in group["params"]:
                if parameter.grad is not None:  # what a narrower plan freezes does not decay
                    parameter.mul_(1 - group["lr"] * group["decayed_apart"])
