"""Findings of `thaw doctor`: the machine, the installed packages, and the state of a project."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from thaw import __version__
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.projects.finding import Finding, State
from thaw.projects.pipeline_check import refuse_damaged_pipeline
from thaw.projects.store_findings import store_findings
from thaw.system import provenance, tool_lock
from thaw.system.memory import total_memory
from thaw.system.missing_project import surrounding_project
from thaw.system.project_paths import PARAMS_FILE, SCRATCH
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PYTHON = (3, 11)
_PACKAGES = ("torch", "torchvision", "timm", "accelerate", "mlflow", "optuna", "dvc")
_LOW_DISK, _LOW_MEMORY = 5e9, 4e9  # bytes
_LARGE_SCRATCH = 20e9  # bytes
_FIRST_COMMIT = "`git init && git add --all && git commit -m 'New project'`"


def examine(begin: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """Return all findings; those about a project only where the working directory is one.

    ``begin`` is called with what is examined next.
    """
    parts = {
        "packages": (_python, _packages),
        "devices": (_devices,),
        "memory, disk and commands": (_memory, _disk, _commands),
    }
    found: list[Finding] = []
    for name, examinations in parts.items():
        begin(name)
        for examination in examinations:
            found += examination()
    return found + list(_project(begin))


def _project(begin: Callable[[str], None]) -> Iterator[Finding]:
    if not PARAMS_FILE.exists():
        text = f"{Path.cwd()} is no project of thaw"
        remedy = "`thaw init DIR` creates one"
        if (above := surrounding_project(Path.cwd())) is not None:
            remedy = f"`cd {shlex.quote(str(above))}`, which is one"
        yield Finding("project", State.OK, text, remedy)
        return
    try:
        params = load(Params)
    except ThawError as error:
        yield Finding("parameters", State.ERROR, str(error))
        return
    yield Finding("parameters", State.OK, f"{PARAMS_FILE} is valid")
    for path in sorted({params.data.path, params.data.root}):
        if not Path(path).exists():
            yield Finding("images", State.ERROR, f"there is no {path}", "`thaw check` says more")
    begin("the project's files")
    yield from _pipeline()
    yield from _tool_lock()
    yield from _git()
    yield from _dvc_lock()
    yield from _scratch()
    begin("the store of MLflow")
    yield from store_findings(params.tracking)


def _python() -> Iterator[Finding]:
    is_old = sys.version_info < _PYTHON
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    remedy = "install Python 3.11 or newer" if is_old else ""
    yield Finding("Python", State.ERROR if is_old else State.OK, text, remedy)


def _packages() -> Iterator[Finding]:
    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding(
                name, State.ERROR, "is not installed", "`pip install --upgrade thaw-vision`"
            )
    yield Finding("packages", State.OK, ", ".join([f"thaw {__version__}", *versions]))


def _devices() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:  # a library of the build is missing
        yield Finding("torch", State.ERROR, str(error), "install torch again")
        return
    build = torch.version.cuda or torch.version.hip
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if names:
        yield Finding("GPUs", State.OK, f"{', '.join(names)}; torch is built for CUDA {build}")
    elif build and shutil.which("nvidia-smi"):
        yield Finding(
            "GPUs",
            State.WARNING,
            f"torch is built for CUDA {build}, but can use no GPU",
            "`nvidia-smi` shows the driver; it must support this CUDA version",
        )
    else:
        yield Finding("GPUs", State.OK, "none; thaw computes on the CPU")


def _memory() -> Iterator[Finding]:
    total, free = total_memory(), psutil.virtual_memory().available
    text = f"{total / 1e9:.0f} GB, {free / 1e9:.0f} GB free; {os.cpu_count()} cores"
    is_low = free < _LOW_MEMORY
    remedy = "close other programs, or set launch.processes and resources.workers lower"
    yield Finding("memory", State.WARNING if is_low else State.OK, text, remedy if is_low else "")


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    is_low = free < _LOW_DISK
    remedy = f"free space, or remove caches in {SCRATCH}" if is_low else ""
    text = f"{free / 1e9:.0f} GB free in {Path.cwd()}"
    yield Finding("disk", State.WARNING if is_low else State.OK, text, remedy)


def _commands() -> Iterator[Finding]:
    for command, package in (("dvc", "thaw-vision"), ("git", "git"), ("thaw", "thaw-vision")):
        if shutil.which(command) is None:
            remedy = f"install {package}, or add its folder to PATH"
            yield Finding(command, State.ERROR, "the command is not in PATH", remedy)
    first, this = shutil.which("thaw"), Path(sys.argv[0])
    is_command = this.name == "thaw" and this.is_file()
    if first is not None and is_command and not this.samefile(first):
        yield Finding(
            "thaw",
            State.WARNING,
            f"this is {this.absolute()}, but `dvc repro` runs {first}, which is first in PATH",
            f"activate the environment of this one, or put {this.absolute().parent} first in PATH",
        )


def _pipeline() -> Iterator[Finding]:
    try:
        refuse_damaged_pipeline()
    except ThawError as error:
        yield Finding("dvc.yaml", State.ERROR, str(error))
        return
    yield Finding("dvc.yaml", State.OK, "has the stages of thaw")


def _tool_lock() -> Iterator[Finding]:
    try:
        lock, installed = tool_lock.read(), tool_lock.installed()
    except ThawError as error:
        yield Finding("thaw.lock", State.ERROR, str(error))
        return
    changed = [
        stage
        for stage in STAGES
        if lock is None or lock.stages.get(stage) != installed.stages[stage]
    ]
    if changed:
        yield Finding(
            "thaw.lock",
            State.ERROR,
            f"the installed thaw has other code for {', '.join(changed)}",
            f"`{tool_lock.fix()}` (`thaw upgrade --dry-run` shows what it changes)",
        )
    elif lock is not None and (others := tool_lock.changed_libraries(lock)):
        yield Finding(
            "thaw.lock",
            State.WARNING,
            f"names other libraries than those that are installed: {', '.join(others)}",
            f"`{tool_lock.fix()}` records the installed versions; results stay valid",
        )
    else:
        yield Finding("thaw.lock", State.OK, "belongs to the installed thaw")


def _git() -> Iterator[Finding]:
    if shutil.which("git") is not None and (found := provenance.no_commit()):
        text = f"{found.reason}; DVC stops without git, and `thaw promote` needs a commit"
        yield Finding("git", State.WARNING, text, found.remedy or _FIRST_COMMIT)


def _dvc_lock() -> Iterator[Finding]:
    """Report locks of DVC whose processes have ended."""
    path = Path(".dvc/tmp/rwlock")
    try:
        content = json.loads(path.read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        content = {}
    except (OSError, ValueError):
        yield Finding("DVC", State.WARNING, f"{path} is damaged", f"delete {path}")
        return
    dead = sorted({pid for pid in _holders(content) if not psutil.pid_exists(pid)})
    if dead:
        text = f"{path} names processes that have ended ({', '.join(map(str, dead))})"
        yield Finding(
            "DVC", State.WARNING, text, f"delete {path}, if a command of DVC waits for it"
        )
        return
    yield Finding("DVC", State.OK, "no ended process holds a lock")


def _holders(content: object) -> Iterator[int]:
    """Return the process ids in DVC's lock file: lists or objects with the key ``pid``."""
    if isinstance(content, dict):
        if isinstance(content.get("pid"), int):
            yield content["pid"]
        for each in content.values():
            yield from _holders(each)
    elif isinstance(content, list):
        for each in content:
            yield from _holders(each)


def _scratch() -> Iterator[Finding]:
    size = _size(SCRATCH)
    is_large = size > _LARGE_SCRATCH
    remedy = f"delete {SCRATCH}/activations; it is computed again" if is_large else ""
    text = f"{size / 1e9:.1f} GB of caches and checkpoints in {SCRATCH}"
    yield Finding("caches", State.WARNING if is_large else State.OK, text, remedy)


def _size(folder: Path) -> int:
    """Return the bytes of the files in ``folder``, which stages may write and remove meanwhile."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += Path(path, name).lstat().st_size
    return size
