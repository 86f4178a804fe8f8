"""Find out where the preparation of a batch on a device would wait for the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_READING = ("aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::masked_select")


class _NoWaiting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raise where memory of the CPU is used with a device in a way that waits for it.

    That is a copy which is not ``non_blocking``, and an operation with tensors of both, which
    copies by itself. A CPU scalar is passed by value.
    """

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = function.name().partition(".")[0]
        found = function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, found)) if _is_array(leaf)]
        devices = {tensor.device.type for tensor in tensors}
        options = kwargs or {}
        is_copy = name == "aten::_to_copy" and options.get("non_blocking")
        if name in _READING or (len(devices) > 1 and not is_copy):
            raise AssertionError(f"{name} waits for the device")
        return found


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.ndim > 0


def no_waiting() -> AbstractContextManager[Any]:
    """Raise in the block where the program would wait for a device."""
    mode: AbstractContextManager[Any] = _NoWaiting()  # type: ignore[no-untyped-call]
    return mode
