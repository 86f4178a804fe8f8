"""All stages of a project: by `dvc repro` where DVC is installed, else one after the other.

A killed run continues with the stage that had not ended. Both ways print a line as a stage begins.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks.gpu.projects import ROOT, command, environment, stage_command
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from pathlib import Path

_BEGINS = re.compile(r"^Running stage '(\w+)'", re.MULTILINE)
_CONFIG = "[core]\n    analytics = false\n    check_update = false\n    no_scm = true\n"
_LAST = 15  # lines of the output of a run that failed
_POLL = 0.05  # seconds


def has_dvc() -> bool:
    """Return whether DVC runs the stages."""
    return importlib.util.find_spec("dvc") is not None


def reproduce(project: Path, *, cpu: bool = False) -> dict[str, float]:
    """Run all stages that have not ended; return the seconds of each from its line on.

    Raises:
        RuntimeError: a stage failed.
    """
    process = _started(project, subprocess.PIPE, cpu=cpu)
    assert process.stdout is not None
    lines, stages, marks = [], [], []
    for line in process.stdout:
        lines.append(line)
        if found := _BEGINS.match(line):
            marks.append(time.perf_counter())
            stages.append(found[1])
    if process.wait():
        raise RuntimeError(f"{project.name} ended with {process.returncode}: {_end_of(lines)}")
    taken = [after - before for before, after in pairwise([*marks, time.perf_counter()])]
    return dict(zip(stages, taken, strict=True))


def kill(project: Path, stage: str, seconds: float) -> str | None:
    """Run all stages and kill them ``seconds`` after ``stage`` has begun.

    Return the stage in which they were killed, or None if they had ended before.

    Raises:
        RuntimeError: a stage failed.
    """
    log = project / "killed.log"
    with log.open("w") as stream:
        process = _started(project, stream.fileno())
    try:
        while process.poll() is None and stage not in _BEGINS.findall(log.read_text()):
            time.sleep(_POLL)
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode == -signal.SIGKILL:
        return str(_BEGINS.findall(log.read_text())[-1])
    if process.returncode:
        lines = log.read_text().splitlines(keepends=True)
        raise RuntimeError(f"{project.name} ended with {process.returncode}: {_end_of(lines)}")
    return None


def _started(project: Path, output: int, *, cpu: bool = False) -> subprocess.Popen[str]:
    """Start all stages in a process group of their own."""
    variables = {**environment(cpu=cpu), "PYTHONUNBUFFERED": "1"}
    if has_dvc():
        variables["PATH"] = f"{_commands(project)}{os.pathsep}{variables.get('PATH', os.defpath)}"
        run = [sys.executable, "-P", "-m", "dvc", "repro"]
    else:
        run = ["sh", "-c", _script()]
    return subprocess.Popen(
        run, cwd=project, env=variables, start_new_session=True, text=True,
        stdout=output, stderr=subprocess.STDOUT,
    )  # fmt: skip


def _commands(project: Path) -> Path:
    """Make ``project`` one of DVC; return the folder of the command `thaw`, which it runs."""
    folder = project / ".bin"
    if not folder.exists():
        shutil.copy(ROOT / "dvc.yaml", project)
        (project / ".dvc").mkdir()
        (project / ".dvc/config").write_text(_CONFIG)
        folder.mkdir()
        thaw = shlex.join(command())
        (folder / "thaw").write_text(f'#!/bin/sh\nexec {thaw} "$@"\n')
        (folder / "thaw").chmod(0o755)
    return folder


def _script() -> str:
    """Return the stages as a script of a shell, which marks those that have ended."""
    lines = ["set -e"]
    for stage in STAGES:
        run = f"echo \"Running stage '{stage}'\"; {shlex.join(stage_command(stage))}"
        lines.append(f"if ! test -e .ended-{stage}; then {run}; touch .ended-{stage}; fi")
    return "\n".join(lines)


def _end_of(lines: list[str]) -> str:
    return "".join(lines[-_LAST:]).strip() or "no output"
