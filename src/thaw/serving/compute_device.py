"""The device and the precision that a served model computes with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.system.devices import AUTO, CPU, choose_device
from thaw.training.precision import Precision, choose_precision, use_precision

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.literals import PrecisionName, ServingRuntime


@dataclass(frozen=True)
class Computing:
    """The device and the precision of a model; by default those of the stage evaluate."""

    device: torch.device = field(default_factory=lambda: torch.device(CPU))
    precision: Precision = field(default_factory=Precision)

    def __str__(self) -> str:
        return f"{self.device} in {self.precision.name}"

    @property
    def is_gpu(self) -> bool:
        """True if the device is not the CPU, so that the CPU is free to decode."""
        return self.device.type != CPU

    def predictor(self, folder: Path, **options: Any) -> Predictor:
        """Return a Predictor of ``folder`` with this device and precision, and ``options``."""
        autocast = partial(self.precision.autocast, self.device)
        return Predictor(folder, device=self.device, autocast=autocast, **options)


def choose_computing(device: str, precision: PrecisionName, runtime: ServingRuntime) -> Computing:
    """Return the device ``auto``, ``cpu``, ``cuda`` or ``cuda:N``, and the precision on it.

    ONNX Runtime computes on the CPU, so ``auto`` is the CPU there.

    Raises:
        ThawError: there is no such device, or it or the runtime does not have the precision.
    """
    if runtime == "onnx":
        if device not in {AUTO, CPU}:
            raise ThawError(
                f"--device {device}: --runtime onnx computes on the CPU: leave out one of the two"
            )
        if precision != "fp32":
            raise ThawError(
                f"--precision {precision}: --runtime onnx computes in fp32: leave one of them out"
            )
        device = CPU
    chosen = choose_device(device)
    found = choose_precision(precision, chosen, "--precision")
    use_precision(found, chosen)
    return Computing(chosen, found)
