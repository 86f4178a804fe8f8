"""The state of an optimiser as tensors: save it in a checkpoint and restore it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from thaw.optimizers.deferred_lamb import DeferredLamb
from thaw.training.divided_tensors import share
from thaw.training.parameter_groups import parameters_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer


def state(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return everything that the optimiser keeps from step to step, for a checkpoint."""
    tensors = {
        f"group.{place}.{key}": value
        for place, group in enumerate(optimizer.param_groups)
        for key, value in group.items()
        if isinstance(value, torch.Tensor)  # LAMB counts its steps by the group
    }
    for place, parameter in enumerate(parameters_of(optimizer)):
        if parameter in optimizer.state:  # indexing would create an entry
            for key, value in optimizer.state[parameter].items():
                tensors[f"{place}.{key}"] = value
    return tensors


def restore(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Set the state of ``optimizer`` to ``tensors``, which :func:`state` returned, bit by bit."""
    every = parameters_of(optimizer)
    for name, value in tensors.items():
        kind, _, key = name.partition(".")
        if kind == "group":
            place, _, key = key.partition(".")
            group = optimizer.param_groups[int(place)]
            group[key] = value.to(_device_of_group(optimizer, group), copy=True)
            continue
        parameter = every[int(kind)]
        # In the parameter's own memory format, as the optimiser itself would make it.
        like = parameter if value.ndim else value
        kept = torch.empty_like(like, device=parameter.device)
        share(kept).copy_(value)  # in sharded training, the value of this process's part
        optimizer.state[parameter][key] = kept


def _device_of_group(optimizer: Optimizer, group: dict[str, Any]) -> torch.device:
    """Return where the optimiser counts the steps of ``group``: timm's LAMB does so on the CPU."""
    on_device = isinstance(optimizer, DeferredLamb)
    device: torch.device = group["params"][0].device if on_device else torch.device("cpu")
    return device


def forget_idle_steps(optimizer: Optimizer) -> None:
    """Reset the step count of groups whose parameters had no step yet.

    LAMB counts the steps of a group also while it has no gradient. When the group thaws, LAMB
    would not correct the bias of its first moments.
    """
    for group in optimizer.param_groups:
        if "step" in group and not any(p in optimizer.state for p in group["params"]):
            del group["step"]
