"""Run a part of a benchmark in its own process, which reads its malloc settings when it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.project import ROOT, environment
from thaw.system.launching import ENVIRONMENT


def start_script(
    folder: Path, script: str, *arguments: object, tuned: bool = True, threads: int = 0
) -> subprocess.Popen[str]:
    """Start ``benchmarks/SCRIPT`` in ``folder`` with ``threads`` threads.

    ``threads=0`` means ``OMP_NUM_THREADS``, or one thread per core if it is not set. The process
    gets the environment of thaw's stages, unless ``tuned`` is false. It can import benchmarks.
    """
    asked = str(threads) if threads else os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
    plain = {key: value for key, value in environment().items() if key not in ENVIRONMENT}
    paths = [str(ROOT), *filter(None, [plain.get("PYTHONPATH")])]
    plain["PYTHONPATH"] = os.pathsep.join(paths)
    return subprocess.Popen(
        [sys.executable, "-P", str(Path(__file__).parent / script), *map(str, arguments)],
        cwd=folder,
        env=plain | {"OMP_NUM_THREADS": asked} | (ENVIRONMENT if tuned else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the JSON that ``process`` prints as its last line."""
    output, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"error: {process.args!r}\n{errors[-3000:]}")
    row: dict[str, Any] = json.loads(output.splitlines()[-1])
    return row


def run_script(folder: Path, script: str, *arguments: object, tuned: bool = True) -> dict[str, Any]:
    """Run ``benchmarks/SCRIPT`` and return the JSON that it prints."""
    return read_result(start_script(folder, script, *arguments, tuned=tuned))
