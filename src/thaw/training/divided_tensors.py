"""Modules and tensors that are divided among processes: each has a part of every parameter.

torch calls the modules fully sharded (FSDP2), and the tensors ``DTensor``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from thaw.data.device_stream import sent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


def divide(module: nn.Module, device: torch.device, world: int) -> nn.Module:
    """Divide the parameters of ``module`` among all ``world`` processes, in place; return it.

    ``device`` is that of this process. Parameters of parts that are divided already stay as they
    are.
    """
    # Takes half a second to import.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    fully_shard(module, mesh=init_device_mesh(device.type, (world,)))
    return module


def is_divided(tensor: Tensor) -> bool:
    """Return whether ``tensor`` is a DTensor, of which each process has a part."""
    return hasattr(tensor, "to_local")


def share(tensor: Tensor) -> Tensor:
    """Return the part of a divided tensor in this process, no copy; another tensor as it is."""
    divided_tensor: Any = tensor
    found: Tensor = divided_tensor.to_local() if is_divided(tensor) else tensor
    return found


def whole(tensor: Tensor) -> Tensor:
    """Return all values of a divided tensor, another tensor as it is. All processes call it."""
    divided_tensor: Any = tensor
    found: Tensor = divided_tensor.full_tensor() if is_divided(tensor) else tensor
    return found


def divided_like(example: Tensor, value: Tensor) -> Tensor:
    """Return ``value``, which all processes have, on the device of ``example`` and divided as it.

    Nothing is exchanged between the processes, and the program does not wait for the copy.
    """
    value = sent(value, example.device)
    if not is_divided(example):
        return value
    from torch.distributed.tensor import distribute_tensor

    like: Any = example
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def from_shares(examples: Mapping[str, Tensor], shares: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors divided as those of the same names in ``examples``, from this process's parts.

    It is the inverse of :func:`share`, name by name.
    """
    return {name: _from_share(examples.get(name), value) for name, value in shares.items()}


def _from_share(example: Tensor | None, value: Tensor) -> Tensor:
    if example is None or not is_divided(example):
        return value
    found = torch.empty_like(example)
    share(found).copy_(value)
    return found
