"""The rise of a process's resident memory during some work, as the Linux kernel records it."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.data.pictures import plain
from tests.project import ROOT
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import decode
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
    """Return the environment of a measuring process: one malloc arena."""
    return {**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}


def rise(work: Callable[[], object]) -> float:
    """Return the megabytes between the resident memory before ``work`` and the peak during it.

    ``ru_maxrss`` is not usable: in a child process it starts at the peak of the parent.
    """
    Path("/proc/self/clear_refs").write_text("5")  # reset the recorded peak
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / 1e6


def resident() -> float:
    """Return the resident memory in megabytes."""
    return _status("VmRSS") / 1e6


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def read(content: bytes) -> str:
    """Decode and resize ``content`` to a model's input; return the shape or the error."""
    limits = PREPROCESSING.short_side, PREPROCESSING.max_megapixels
    try:
        image = decode(content, short_side=limits[0], max_megapixels=limits[1])
    except DecodeError as error:
        return str(error)
    return str(tuple(PREPROCESSING.resize([image.pixels]).shape))


def measured(content: bytes) -> tuple[float, str]:
    """Return the megabytes that a new process needs for `read`, and what it returns."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(len(content).to_bytes(8, "big") + content)
    server.stdin.flush()
    megabytes, said = server.stdout.readline().decode().strip().split(" ", 1)
    return float(megabytes), said


@cache
def _server() -> subprocess.Popen[bytes]:
    """Start the process whose forks measure: to import torch for each of them takes seconds."""
    command = [sys.executable, "-m", "tests.data.peak"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, env=environment())


def _measure(content: bytes) -> None:
    said: list[str] = []
    print(rise(lambda: said.append(read(content))), *said, flush=True)


if __name__ == "__main__":
    read(plain("PNG", "RGBA", 400, 300))  # imports and allocations that happen once
    while size := sys.stdin.buffer.read(8):
        received = sys.stdin.buffer.read(int.from_bytes(size, "big"))
        if (child := os.fork()) == 0:
            _measure(received)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            print("inf the measuring process failed", flush=True)
