"""The memory that this process can use at most."""

from __future__ import annotations

import ctypes
from pathlib import Path

import psutil

# The limit of a container, of both versions of control groups.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def total_memory() -> int:
    """Return the bytes of memory of the machine, or of the container where that is less."""
    limits = [psutil.virtual_memory().total]
    for path in _LIMITS:
        try:
            limits.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # there is none, or it is "max"
            continue
    return min(limits)


def return_free_memory() -> None:
    """Give memory that is free in this process back to the kernel, where glibc manages it.

    The launcher sets glibc to keep it, which pays for training only.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return
