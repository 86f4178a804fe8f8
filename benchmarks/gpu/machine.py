"""The description of the machine that stands above the table."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import torch

from thaw.system.processes import cores


def describe() -> dict[str, str]:
    """Return the hardware and the versions that figures depend on."""
    import timm
    import torchvision

    return {
        "GPUs": _gpus(),
        "driver": _driver(),
        "CPU": f"{_processor()}, {cores()} cores",
        "Python": platform.python_version(),
        "torch": f"{torch.__version__}, cuDNN {torch.backends.cudnn.version()}",  # type: ignore[no-untyped-call]
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
    }


def _gpus() -> str:
    count = torch.cuda.device_count()
    if not count:
        return "none"
    found = torch.cuda.get_device_properties(0)
    return f"{count} x {found.name}, {found.total_memory / 2**30:.0f} GiB"


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return done.stdout.split("\n")[0].strip()


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
