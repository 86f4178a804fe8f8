"""The type of this machine: golden bits are compared where it is the recorded one."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def machine() -> dict[str, str]:
    """Return what the bits of a training depend on beside the code."""
    return {"processor": _processor(), "torch": torch.__version__.split("+")[0]}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
