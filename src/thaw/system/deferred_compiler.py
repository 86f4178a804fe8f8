"""Import timm and torchvision, and train, without torch's compiler, which takes a second to import.

When they are imported, both libraries use ``torch._dynamo`` for one thing only: they mark functions
that must not be compiled. Accelerate marks its hooks and torch its optimisers in the same way. An
optimiser also breaks the graph of a compiled function at every step. Marks and breaks have no
effect before the compiler is imported. Inside :func:`compiler_deferred`, they do nothing until
then, and any other use imports the compiler at once.
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
    """Import libraries and train without importing torch's compiler, unless it is imported."""
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
        """Return ``function``, marked as not to be compiled once the compiler is imported."""

        @functools.cache
        def marked() -> Callable[..., Any]:
            result: Callable[..., Any] = _real(COMPILER).disable(function, *options, **named)
            return result

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            chosen = marked() if _is_imported() else function
            return chosen(*arguments, **keywords)

        return call

    @staticmethod
    def graph_break(msg: str = "") -> None:
        """Do nothing: no function is compiled yet whose graph could be broken."""


class _Utilities(_StandIn):
    @staticmethod
    def is_compile_supported(device_type: str) -> Any:
        """Return what the real function returns."""
        return _real(_UTILITIES).is_compile_supported(device_type)


def _is_imported() -> bool:
    return COMPILER in sys.modules and not isinstance(sys.modules[COMPILER], _StandIn)


def _real(name: str) -> Any:
    _remove_stand_ins()
    return importlib.import_module(name)


def _remove_stand_ins() -> None:
    for name in (COMPILER, _UTILITIES):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]
