"""float32 without shortcuts, for proofs and comparisons.

A GPU's convolutions round float32 to TF32 (a mantissa of 10 bits) by default, and under mixed
precision autocast rounds to 16 bits. Training may do so. A proof or a comparison must not: the
rounding is larger than what it looks for.

This module and ``training.precision`` are the only ones that change the precision.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import backends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DEVICES = ("cpu", "cuda")  # that Accelerate is started on
_BACKENDS: Any = backends
# What has a `fp32_precision`, parents first: "none" is what the parent says. That of mkldnn is
# another name of the first one's, so that they are restored in the reverse order.
_SETTINGS: tuple[Any, ...] = (
    _BACKENDS,
    _BACKENDS.cudnn,
    _BACKENDS.mkldnn,
    _BACKENDS.cudnn.conv,
    _BACKENDS.cudnn.rnn,
    _BACKENDS.cuda.matmul,
    _BACKENDS.mkldnn.conv,
    _BACKENDS.mkldnn.rnn,
    _BACKENDS.mkldnn.matmul,
)


@dataclass(frozen=True)
class _Saved:
    """The precision of float32 as it was; None for what torch refuses to tell.

    That is so where both of torch's interfaces were used, and say different things.
    """

    precisions: tuple[str, ...]
    cudnn: bool | None
    matmul: str | None


class _Process:
    """The settings of this process, which all of its threads share.

    The first thread that needs float32 sets them, and the last one restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._saved: _Saved | None = None

    def enter(self) -> None:
        """Turn every rounding of float32 off."""
        with self._lock:
            if self._users == 0:
                self._saved = _set_strict()
            self._users += 1

    def leave(self) -> None:
        """Restore the settings when the last of the threads in float32 leaves."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._saved is not None:
                _restore(self._saved)


_process = _Process()
_thread = threading.local()


@contextmanager
def strict_float32() -> Iterator[None]:
    """Compute in float32 on every device: no TF32, no bfloat16, no autocast. Also a decorator.

    It restores all settings at the end, also after an exception, and may be nested. TF32 is off
    for the whole process meanwhile; autocast is a setting of the thread.

    Inside of it, ``training.precision.Precision.autocast`` does nothing.
    """
    _process.enter()
    _thread.depth = getattr(_thread, "depth", 0) + 1
    try:
        with torch.autocast(_DEVICES[0], enabled=False), torch.autocast(_DEVICES[1], enabled=False):
            yield
    finally:
        _thread.depth -= 1
        _process.leave()


def is_strict() -> bool:
    """Return whether this thread is inside :func:`strict_float32`."""
    return bool(getattr(_thread, "depth", 0))


def _set_strict() -> _Saved:
    """Turn every rounding of float32 off; return the settings before that."""
    cudnn = _told(lambda: backends.cudnn.allow_tf32)
    matmul = _told(torch.get_float32_matmul_precision)
    precisions = []
    for setting in _SETTINGS:
        # Where a parent is "none", a child returns its own setting.
        precisions.append(setting.fp32_precision)
        setting.fp32_precision = "none"
    # The older interface sets the newer one, too; the other way round, reading the older one fails.
    backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")  # of CUDA and of mkldnn
    return _Saved(tuple(precisions), cudnn, matmul)


def _restore(saved: _Saved) -> None:
    if saved.cudnn is not None:
        backends.cudnn.allow_tf32 = saved.cudnn
    if saved.matmul is not None:
        torch.set_float32_matmul_precision(saved.matmul)
    for setting, precision in reversed(list(zip(_SETTINGS, saved.precisions, strict=True))):
        setting.fp32_precision = precision


def _told(read: Callable[[], Any]) -> Any:
    """Return the result of ``read``, or None if torch raises an error."""
    try:
        return read()
    except RuntimeError:
        return None
