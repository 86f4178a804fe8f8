"""Time and memory of a stage in processes of its own."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from thaw.system.launching import ENVIRONMENT

_BETWEEN = 0.02  # seconds between two readings of the peak of the stage's own process
_READINGS = 2  # of them for one of the memory of all processes, which takes longer


class Cost(NamedTuple):
    """Seconds of wall and of processor time of a stage, and peaks of memory in bytes.

    ``peak`` is the resident memory of the stage's own process. ``together`` is the largest sum seen
    for this process and those that it started; memory that they share counts once.
    """

    seconds: float
    processor: float
    peak: int
    together: int


def stage_cost(folder: Path, stage: str) -> Cost:
    """Run a whole stage in ``folder``."""
    return command_cost([sys.executable, "-m", f"thaw.stages.{stage}"], folder)


def command_cost(command: list[str], folder: Path) -> Cost:
    """Run ``command`` in ``folder``.

    Raises:
        SystemExit: it failed.
    """
    start, before, peak, together, reading = time.perf_counter(), processor_seconds(), 0, 0, 0
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    # The peak that the kernel reports at the end contains that of this process before `exec`.
    while process.poll() is None:
        peak = max(peak, _peak_so_far(process.pid))
        if reading % _READINGS == 0:
            together = max(together, _memory_of_all(process.pid))
        reading += 1
        time.sleep(_BETWEEN)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {process.returncode}")
    used = processor_seconds() - before
    return Cost(time.perf_counter() - start, used, peak, together)


def processor_seconds() -> float:
    """Return the processor seconds of ended processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak_so_far(process: int) -> int:
    """Return the peak of the resident memory of a process in bytes; 0 if it has ended."""
    return _bytes(process, "status", "VmHWM")


def _memory_of_all(process: int) -> int:
    """Return the memory of a process and of all that it started, in bytes.

    Pages that some of them share count in parts, but those of files (libraries) as in the process
    that has most of them: other programs may share these.
    """
    try:
        first = psutil.Process(process)
        family = [first.pid, *(child.pid for child in first.children(recursive=True))]
    except psutil.NoSuchProcess:
        return 0
    own = sum(_bytes(each, "smaps_rollup", "Pss_Anon", "Pss_Shmem") for each in family)
    return own + max(_bytes(each, "status", "RssFile") for each in family)


def _bytes(process: int, file: str, *names: str) -> int:
    """Return the sum of the entries ``names`` in a file of /proc; 0 if the process has ended."""
    try:
        text = Path(f"/proc/{process}/{file}").read_text()
    except OSError:
        return 0
    found = (re.search(rf"^{name}:\s*(\d+) kB", text, re.MULTILINE) for name in names)
    return sum(int(each[1]) * 1024 for each in found if each)
