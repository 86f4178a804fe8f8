"""The precision of training: which one a device has, and what sets it.

This module and ``model.float32``, which has float32 without shortcuts for comparisons, are the only
ones that change the precision.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import backends

from thaw.errors import ThawError
from thaw.model.float32 import is_strict

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from thaw.config.process_sections import PrecisionSetting


_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}  # what autocast rounds to


@dataclass(frozen=True)
class Precision:
    """The precision of training: ``fp32``, ``tf32``, ``bf16`` or ``fp16``."""

    name: str = "fp32"

    @property
    def current(self) -> str:
        """The precision that a network computes in now; part of a cache file's key."""
        return "float32" if is_strict() else self.name

    @property
    def keeps_activations(self) -> bool:
        """True if blocks pass float32 on, so that stored float32 activations lose nothing."""
        return is_strict() or self.name not in _HALF

    def autocast(
        self, device: torch.device, *, keeps_weights: bool = True
    ) -> AbstractContextManager[Any]:
        """Compute in 16 bits if the precision has so many; inside ``strict_float32`` do nothing.

        With ``keeps_weights``, a weight that is used twice is converted once.
        """
        if is_strict() or self.name not in _HALF:
            return nullcontext()
        return torch.autocast(device.type, _HALF[self.name], cache_enabled=keeps_weights)

    def loss_scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Return a scaler of the loss, which does nothing unless the precision is fp16."""
        return torch.amp.GradScaler(device.type, enabled=self.name == "fp16")


def choose_precision(
    wanted: PrecisionSetting, device: torch.device, setting: str = "params.yaml: launch.precision:"
) -> Precision:
    """Return the precision that is ``wanted`` on ``device``.

    ``auto`` is bf16 on a GPU that computes in it, else fp32. ``setting`` says in errors what the
    user has set.

    Raises:
        ThawError: the device does not have the precision.
    """
    is_gpu = device.type == "cuda"
    # Those that compute in bfloat16 have TF32, too: NVIDIA's since Ampere.
    is_recent = is_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "auto":
        return Precision("bf16" if is_recent else "fp32")
    if wanted in {"tf32", "fp16"} and not is_gpu:
        raise ThawError(
            f"{setting} {wanted} needs a GPU (a CPU would silently run fp32): "
            "set auto, fp32 or bf16"
        )
    if wanted in {"tf32", "bf16"} and is_gpu and not is_recent:
        raise ThawError(
            f"{setting} {torch.cuda.get_device_name(device)} does not "
            f"compute in {wanted}: set auto, fp32 or fp16"
        )
    return Precision(wanted)


def use_precision(precision: Precision, device: torch.device) -> None:
    """Let a GPU round float32 to TF32, unless the precision is fp32. A CPU never rounds."""
    if device.type == "cuda":
        backends.cudnn.allow_tf32 = precision.name != "fp32"
        backends.cuda.matmul.allow_tf32 = precision.name != "fp32"
