"""A record of the parameters whose model was checked last, so that it is not checked twice.

A check imports torch and builds the network without its weights, which takes longer than a small
``prepare``. The record names everything that the result depends on.
"""

from __future__ import annotations

import os
from contextlib import suppress
from os.path import expandvars
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.system import project_paths, provenance, tool_lock
from thaw.system.code_digests import code_digests
from thaw.system.files import write_whole
from thaw.system.memory import total_memory

if TYPE_CHECKING:
    from thaw.config.params import Params

_RECORD = project_paths.SCRATCH / "checked_model"


def is_known(params: Params) -> bool:
    """Return whether the model of ``params`` was checked last, on this machine as it is now."""
    try:
        return _RECORD.read_text(encoding="utf-8") == _key(params)
    except (OSError, ValueError):
        return False


def record(params: Params) -> None:
    """Record that the model of ``params`` was checked and can be used."""
    with suppress(ThawError):  # a project that is read-only is checked again
        write_whole(_RECORD, _key(params).encode())


def _key(params: Params) -> str:
    return provenance.key(
        params.model_dump(mode="json"),
        code_digests()["dry_run"],
        tool_lock.installed().versions,
        total_memory(),
        sorted(map(str, Path("/dev").glob("nvidia[0-9]*"))),
        os.environ.get("CUDA_VISIBLE_DEVICES"),
        [_state(path) for path in (params.backbone.weights, expandvars(params.launch.config))],
    )


def _state(path: str) -> list[int]:
    """Return size and time of the file ``path``; nothing if it is no file."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):  # the name of weights
        return []
    return [status.st_size, status.st_mtime_ns] if S_ISREG(status.st_mode) else []
