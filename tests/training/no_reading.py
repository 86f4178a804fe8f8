"""Find out where a program reads a value of a tensor, for which it would wait for a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class _NoReading(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raise where a value of a tensor is read or where a shape depends on values."""

    _READING = (
        "aten::_local_scalar_dense",
        "aten::item",
        "aten::is_nonzero",
        "aten::nonzero",
        "aten::masked_select",
        "aten::equal",
    )

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = function.name().partition(".")[0]
        if name in self._READING:
            raise AssertionError(f"{name} waits for the device")
        return function(*args, **(kwargs or {}))


def no_reading() -> AbstractContextManager[Any]:
    """Raise in the block where a value of a tensor is read or a shape depends on values."""
    mode: AbstractContextManager[Any] = _NoReading()  # type: ignore[no-untyped-call]
    return mode
