"""Read, change and reset the settings of torch that let float32 be rounded."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import backends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BACKENDS: Any = backends
STRICT = {"none", "ieee"}


def told(read: Callable[[], Any]) -> Any:
    """Return the setting, or "refused" if torch raises because both interfaces were used."""
    try:
        return read()
    except RuntimeError:
        return "refused"


def older() -> list[Any]:
    """Return the settings by torch's older interface."""
    return [
        told(lambda: backends.cudnn.allow_tf32),
        told(lambda: backends.cuda.matmul.allow_tf32),
        told(torch.get_float32_matmul_precision),
    ]


def newer() -> list[str]:
    """Return the settings by torch's newer interface."""
    cudnn, mkldnn = _BACKENDS.cudnn, _BACKENDS.mkldnn
    own = (cudnn.conv, cudnn.rnn, _BACKENDS.cuda.matmul, mkldnn.conv, mkldnn.rnn, mkldnn.matmul)
    return [one.fp32_precision for one in (_BACKENDS, cudnn, mkldnn, *own)]


@contextmanager
def restored() -> Iterator[None]:
    """Set what torch comes with, before and after."""

    def reset() -> None:
        for setting in (_BACKENDS, _BACKENDS.cudnn, _BACKENDS.mkldnn):
            setting.fp32_precision = "none"
        for setting in (_BACKENDS.mkldnn.conv, _BACKENDS.mkldnn.rnn):
            setting.fp32_precision = "none"
        backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("highest")
        _BACKENDS.cuda.matmul.fp32_precision = _BACKENDS.mkldnn.matmul.fp32_precision = "none"

    reset()
    try:
        yield
    finally:
        reset()


def change(setting: str) -> None:
    """Set the precision as a user may."""
    match setting:
        case "high" | "medium":
            torch.set_float32_matmul_precision(setting)
        case "older":
            backends.cudnn.allow_tf32 = False
            backends.cuda.matmul.allow_tf32 = True
        case "all":
            _BACKENDS.fp32_precision = "tf32"
        case "cudnn":
            _BACKENDS.cudnn.fp32_precision = "tf32"
        case "conv":
            _BACKENDS.cudnn.conv.fp32_precision = "ieee"
        case "mkldnn":
            _BACKENDS.mkldnn.conv.fp32_precision = "bf16"
