"""How far a process's memory rises above what it held, by the kernel's own mark (Linux)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.data.pictures import plain
from thaw.data.decoding import DecodeError, decode
from thaw.data.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable

PREPROCESSING = Preprocessing(
    short_side=256,
    max_megapixels=100.0,
    image_size=224,
    crop_pct=0.875,
    interpolation="bicubic",
    mean=(0.5, 0.4, 0.3),
    std=(0.1, 0.2, 0.25),
)


def environment() -> dict[str, str]:
    """For a process that measures: one malloc arena, so that what is freed is freed."""
    return {**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}


def rise(work: Callable[[], object]) -> float:
    """Megabytes between the resident memory before ``work`` and its peak meanwhile.

    ``ru_maxrss`` of a child begins at its parent's peak: it would hide what is below that.
    """
    Path("/proc/self/clear_refs").write_text("5")  # resets the mark
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / 1e6


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def read(content: bytes) -> str:
    """Decode and resize as a model's input; the shape, or why not."""
    limits = PREPROCESSING.short_side, PREPROCESSING.max_megapixels
    try:
        image = decode(content, short_side=limits[0], max_megapixels=limits[1])
    except DecodeError as error:
        return str(error)
    return str(tuple(PREPROCESSING.resize([image.pixels]).shape))


if __name__ == "__main__":
    read(plain("PNG", "RGBA", 400, 300))  # what is imported and allocated once
    content = sys.stdin.buffer.read()
    said: list[str] = []
    print(rise(lambda: said.append(read(content))), *said)
