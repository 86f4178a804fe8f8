"""Choose the device that a verb computes on: ``--device auto|cpu|cuda[:N]``."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from thaw.errors import ThawError

if TYPE_CHECKING:
    import torch

AUTO = "auto"
CPU = "cpu"
_CUDA = re.compile(r"cuda(?::(\d{1,4}))?", re.ASCII)
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def choose_device(name: str = AUTO, setting: str = "--device") -> torch.device:
    """Return the device that ``name`` names: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    ``auto`` is the first GPU that torch can use, or the CPU if there is none. ``cuda`` is
    ``cuda:0``. N counts from 0 among the GPUs in ``CUDA_VISIBLE_DEVICES``. ``setting`` says in
    errors what gave the name.

    Raises:
        ThawError: the name is another one, or there is no such GPU.
    """
    import torch  # takes seconds to import

    found = _CUDA.fullmatch(name)
    if name not in {AUTO, CPU} and not found:
        raise ThawError(f"{setting} {name}: choose auto, cpu, cuda or cuda:N, where N is 0 or more")
    count = gpu_count()
    if name == CPU or (name == AUTO and not count):
        return torch.device(CPU)
    number = int(found[1] or 0) if found else 0
    if not count:
        raise ThawError(f"{setting} {name}: {_reason_for_no_gpu()}; {setting} cpu works everywhere")
    if number >= count:
        known = ", ".join(f"cuda:{index}" for index in range(count))
        raise ThawError(f"{setting} {name}: there is no such GPU: choose from {known}")
    return torch.device("cuda", number)


def gpu_count() -> int:
    """Return the number of GPUs that torch can use; it does not start CUDA."""
    import torch

    return torch.cuda.device_count()


def as_tensors_name_it(device: torch.device) -> torch.device:
    """Return ``cpu`` or ``cuda:N`` for the device that Accelerate gives a process.

    It names a single GPU "cuda", which some functions of torch refuse, and the CPU of several
    processes "cpu:0", which equals no tensor's device, so that ``Tensor.to`` would copy.
    """
    import torch

    if device.type == CPU:
        return torch.device(CPU)
    number = torch.cuda.current_device() if device.index is None else device.index
    return torch.device(device.type, number)


def visible_name(number: int) -> str:
    """Return the name of GPU ``number`` for the variable CUDA_VISIBLE_DEVICES of a new process."""
    names = [name.strip() for name in os.environ.get(_VISIBLE, "").split(",")]
    return names[number] if any(names) else str(number)


def _reason_for_no_gpu() -> str:
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return f"the installed torch {torch.__version__} is for CPUs only"
    if _VISIBLE in os.environ:
        return f"torch finds no GPU; {_VISIBLE} is {os.environ[_VISIBLE]!r}"
    return "torch finds no GPU (`nvidia-smi` lists the GPUs and their driver)"
