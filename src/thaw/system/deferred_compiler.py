"""Import timm and torchvision without torch's compiler, which takes a second to import.

When they are imported, both libraries use ``torch._dynamo`` for one thing only: they mark functions
that must not be compiled. Inside :func:`compiler_deferred`, the marks are set when such a function
is called first, and any other use imports the compiler at once.
Accelerate sets the marks of its own hooks in the same way.
"""

from __future__ import annotations

import functools
import importlib
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMPILER = "torch._dynamo"
_UTILITIES = f"{COMPILER}.utils"


@contextmanager
def compiler_deferred() -> Iterator[None]:
    """Import libraries without importing torch's compiler, unless it is imported already."""
    if COMPILER in sys.modules:
        yield
        return
    stand_ins = {COMPILER: _Compiler(COMPILER), _UTILITIES: _Utilities(_UTILITIES)}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        _remove_stand_ins()


class _StandIn(ModuleType):
    """A module that imports the real module of its name for any attribute that it lacks."""

    def __getattr__(self, name: str) -> Any:
        # Python and `inspect` ask every module for these. Only the import of a submodule needs one.
        if name.startswith("__") and (self.__name__, name) != (COMPILER, "__path__"):
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


class _Compiler(_StandIn):
    @staticmethod
    def disable(function: Callable[..., Any], *options: Any, **named: Any) -> Callable[..., Any]:
        """Return ``function``, which is marked as not to be compiled when it is called first."""

        @functools.cache
        def marked() -> Callable[..., Any]:
            result: Callable[..., Any] = _real(COMPILER).disable(function, *options, **named)
            return result

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            return marked()(*arguments, **keywords)

        return call


class _Utilities(_StandIn):
    @staticmethod
    def is_compile_supported(device_type: str) -> Any:
        """Return what the real function returns."""
        return _real(_UTILITIES).is_compile_supported(device_type)


def _real(name: str) -> Any:
    _remove_stand_ins()
    return importlib.import_module(name)


def _remove_stand_ins() -> None:
    for name in (COMPILER, _UTILITIES):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]
