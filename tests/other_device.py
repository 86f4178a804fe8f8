"""Run code on a device other than the CPU, on a machine without a GPU.

Tensors are on torch's device ``meta``, which has shapes and no values. A value that is read is 1.
An operation with tensors of both devices is an error, as on a GPU. (``meta`` itself allows it.)
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from thaw.data import batches as batches_module
from thaw.data import loading
from thaw.model import predictor as predictor_module
from thaw.training import runtime as runtime_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    import pytest
    from torch import Tensor

DEVICE = torch.device("meta")
_SCALARS = {torch.int64: -1, torch.bool: True}  # that are read; -1 is no failed step
_INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class _OneDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        options = kwargs or {}
        with self:  # operations on tensors of the inference mode come here whole
            parts = function.decompose(*args, **options)
        if parts is not NotImplemented:
            return parts
        name = function.name().partition(".")[0]
        checked = (args[0], *args[2:]) if name in _INDEXED else args
        tensors = [x for x in tree_leaves((checked, options)) if isinstance(x, torch.Tensor)]
        devices = {x.device.type for x in tensors if x.ndim or x.is_meta}
        if name == "aten::copy_" and args[1].is_meta and not args[0].is_meta:
            return args[0].fill_(1)
        if name == "aten::_to_copy" and str(options.get("device")) == "cpu" and args[0].is_meta:
            return torch.ones(args[0].shape, dtype=options.get("dtype") or args[0].dtype)
        if len(devices) > 1 and name != "aten::copy_":
            raise AssertionError(f"{name} has tensors of two devices")
        if name == "aten::_local_scalar_dense" and args[0].is_meta:
            return _SCALARS.get(args[0].dtype, 1.0)
        if name == "aten::equal" and args[0].is_meta:
            return True
        if name == "aten::_fused_sgd_" and devices == {"meta"}:  # which torch lacks
            return None
        return function(*args, **options)


def one_device() -> AbstractContextManager[Any]:
    """Raise in the block where an operation has tensors of both devices.

    A scalar and the indices of ``x[indices]`` may be on the CPU, as in torch's own rules.
    """
    mode: AbstractContextManager[Any] = _OneDevice()  # type: ignore[no-untyped-call]
    return mode


class _Side:
    """A place where batches are made ready, without values."""

    def __init__(self, _: torch.device) -> None:
        pass

    def allocate(self, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.uint8)

    def copied(self, tensor: Tensor) -> Tensor:
        return tensor.to(DEVICE)

    def run(self, make: Callable[[], Any]) -> tuple[Any, None]:
        with one_device():  # a mode is one of the thread
            return make(), None

    def hand_over(self, tensors: Iterable[Tensor], mark: Any) -> None:
        pass


def choose(patch: pytest.MonkeyPatch) -> None:
    """Let stages compute on :data:`DEVICE`, for which torch lacks what a GPU has."""
    patch.setattr(runtime_module.Runtime, "device", property(lambda _: DEVICE))
    patch.setattr(
        runtime_module.Runtime, "seed", lambda _, seed: torch.default_generator.manual_seed(seed)
    )
    patch.setattr(runtime_module, "fetched_later", lambda values: values.cpu)
    patch.setattr(predictor_module, "fetched_later", lambda values: values.cpu)
    for module in (batches_module, predictor_module):
        patch.setattr(module, "SideStream", _Side)
    patch.setattr(loading, "free_bytes", lambda _: 2**40)
    autocast = torch.autocast

    def of_cpu(device: str, *arguments: Any, **options: Any) -> Any:
        return autocast("cpu" if device == "meta" else device, *arguments, **options)

    patch.setattr(torch, "autocast", of_cpu)
    fused = "_get_fused_kernels_supported_devices"
    for name, module in list(sys.modules.items()):
        if name.startswith("torch.optim.") and hasattr(module, fused):
            patch.setattr(module, fused, lambda: ["cpu", "meta"])
