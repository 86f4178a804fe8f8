"""Parts of a benchmark in processes of their own: malloc is set up before they start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.project import environment
from thaw.system.launching import ENVIRONMENT


def start(
    folder: Path, script: str, *arguments: object, tuned: bool = True, threads: int = 0
) -> subprocess.Popen[str]:
    """Start ``benchmarks/SCRIPT`` in ``folder`` in so many threads.

    0: as many as ``OMP_NUM_THREADS`` says, else as there are cores. In the environment that thaw
    starts its stages in, or without it where not ``tuned``.
    """
    asked = str(threads) if threads else os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
    plain = {key: value for key, value in environment().items() if key not in ENVIRONMENT}
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name(script)), *map(str, arguments)],
        cwd=folder,
        env=plain | {"OMP_NUM_THREADS": asked} | (ENVIRONMENT if tuned else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The JSON in the last line that it prints."""
    output, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"error: {process.args!r}\n{errors[-3000:]}")
    row: dict[str, Any] = json.loads(output.splitlines()[-1])
    return row


def child(folder: Path, script: str, *arguments: object, tuned: bool = True) -> dict[str, Any]:
    """What ``benchmarks/SCRIPT`` prints."""
    return answer(start(folder, script, *arguments, tuned=tuned))
