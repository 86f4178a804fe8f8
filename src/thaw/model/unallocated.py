"""Build a backbone whose parameters take no memory, and allocate those of the blocks that are kept.

A small file can name a network of billions of weights of which a model keeps a few blocks.
Accelerate's ``init_empty_weights`` puts parameters on the meta device: networks that compute
buffers on the device of their parameters, such as Swin V2 CR, cannot be built there.
"""

from __future__ import annotations

import functools
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from thaw.model import zoo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from thaw.model.zoo import Backbone

_here = threading.local()  # whether this thread builds a backbone whose parameters take no memory


def build_unallocated(name: str) -> Backbone:
    """Return the backbone ``name`` with parameters that take no memory: one zero, repeated.

    Everything else has its values. Buffers that are not part of a state dict, such as position
    indexes, could not be loaded later.

    Raises:
        ThawError: the name is unknown, or the network cannot be cut.
    """
    with _parameters_unallocated():
        return zoo.build(name)


def allocate(module: nn.Module) -> None:
    """Give each parameter of ``module`` that has no memory its own, in place.

    The values are arbitrary until they are loaded.
    """
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if is_unallocated(parameter):
                values = torch.empty(parameter.shape, dtype=parameter.dtype)
                setattr(part, name, nn.Parameter(values, parameter.requires_grad))


def is_unallocated(tensor: Tensor) -> bool:
    """Return whether the values of ``tensor`` are one value in memory, repeated."""
    return tensor.numel() > 1 and not any(tensor.stride())


@contextmanager
def _parameters_unallocated() -> Iterator[None]:
    """Replace each parameter when this thread gives it to a module."""
    _register_hook()
    _here.is_building = True
    try:
        with _SkipChanges():
            yield
    finally:
        _here.is_building = False


@functools.cache
def _register_hook() -> None:
    """Register the hook that replaces parameters, for the life of the process.

    It must not be removed: another thread may just be calling it.
    """

    def replace(_: nn.Module, __: str, parameter: nn.Parameter) -> nn.Parameter | None:
        if not getattr(_here, "is_building", False) or parameter.numel() <= 1:
            return None
        zero = torch.zeros((), dtype=parameter.dtype)
        return nn.Parameter(zero.expand(parameter.shape), parameter.requires_grad)

    # torch's annotation knows no hook that returns a parameter
    register_module_parameter_registration_hook(replace)  # type: ignore[arg-type]


class _SkipChanges(TorchFunctionMode):
    """Skip calls that would change a parameter without memory in place, as initialisations do.

    Some initialisations draw until all values are within bounds. Their comparison with the bounds
    gets a single value in place of the parameter, so that they end.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        target = args[0] if args else given.get("tensor")  # nn.init passes it by name
        if isinstance(target, Tensor) and is_unallocated(target):
            name = getattr(func, "__name__", "")
            if name == "__setitem__" or (name.endswith("_") and not name.endswith("__")):
                return target
            if func in {Tensor.lt, Tensor.gt}:
                args = (target.as_strided((), ()), *args[1:])
        return func(*args, **given)
