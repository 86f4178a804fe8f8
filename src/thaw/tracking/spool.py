"""The spool: what a stage has to log, in a file that survives the process.

A file below ``.thaw/spool`` belongs to one process of one stage. Its first line identifies the run,
each other line is an entry, in the order in which they were made. The file is removed when MLflow
has all of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from thaw.errors import ThawError
from thaw.system.console import warn
from thaw.system.files import write_whole
from thaw.system.project_paths import SPOOL
from thaw.tracking.run_identity import RunIdentity
from thaw.tracking.store import project_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from thaw.training.history import EpochRow

Entry = dict[str, Any]

# The keys of an entry. METRICS come with STEP and TIME (milliseconds since 1970). SYSTEM are
# metrics of the machine, which have a TIME only.
METRICS, SYSTEM, STEP, TIME = "metrics", "system", "step", "time"
TAGS, STATUS, RUN = "tags", "status", "run"


def epoch_entry(stage: str, row: EpochRow, *, with_validation: bool = True) -> Entry:
    """Return the entry of an epoch that ``stage`` has finished now."""
    validation = ("val_loss", "val_accuracy") if with_validation else ()
    values = {
        f"{stage}/{name}": value
        for name in ("train_loss", *validation, "lr")
        if (value := getattr(row, name)) is not None
    }
    return {METRICS: values, STEP: row.epoch, TIME: _now()}


def system_entry(values: Mapping[str, float]) -> Entry:
    """Return the entry of metrics of the machine that were measured now."""
    return {SYSTEM: dict(values), TIME: _now()}


def _now() -> int:
    return int(time.time() * 1000)


def folder() -> Path:
    """Return the folder of the spool, also for the copy in which `dvc exp run --temp` works."""
    return project_folder() / SPOOL


class Spool:
    """The spool file of this process, which is locked as long as the process uses it."""

    def __init__(self, identity: RunIdentity) -> None:
        """Create the file. If that fails, warn, and keep the entries in memory."""
        self.entries: list[Entry] = []
        self.path = folder() / f"{time.time_ns()}-{os.getpid()}.jsonl"
        self._lock = FileLock(self.path.with_suffix(".lock"), timeout=0, thread_local=False)
        self._is_durable = False
        with self._warn_once():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            write_whole(self.path, _line(asdict(identity)))
            self._is_durable = True

    @property
    def shown(self) -> str:
        """Return the path for messages, relative to the working directory where it is below."""
        return (
            os.path.relpath(self.path) if self.path.is_relative_to(Path.cwd()) else str(self.path)
        )

    def add(self, entry: Entry) -> None:
        """Append ``entry``. It survives a kill of this process, but not a loss of power."""
        self.entries.append(entry)
        if self._is_durable:
            with self._warn_once(), self.path.open("ab") as stream:
                stream.write(_line(entry))

    @contextlib.contextmanager
    def _warn_once(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ThawError) as error:
            self._is_durable = False
            warn(f"what MLflow does not take now is lost if this process ends: {error}")

    def remove(self) -> None:
        """Remove the file: MLflow has all entries."""
        _remove(self.path)
        self.close()

    def close(self) -> None:
        """Let other processes deliver the file."""
        self._lock.release()


@contextlib.contextmanager
def taken(path: Path) -> Iterator[tuple[RunIdentity, list[Entry]] | None]:
    """Lock the file ``path`` of a process that ended, and read it; remove it at a normal exit.

    The value is None if there is nothing to deliver: another process has the file, or it is
    damaged.
    """
    lock = FileLock(path.with_suffix(".lock"), timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        yield None
        return
    try:
        content = _read(path)
        yield content
        if content is not None:
            _remove(path)
    finally:
        lock.release()


def waiting() -> list[Path]:
    """Return the files of the spool, oldest first, also those of stages that run."""
    return sorted(folder().glob("*.jsonl"))


def _read(path: Path) -> tuple[RunIdentity, list[Entry]] | None:
    try:
        first, *lines = path.read_bytes().split(b"\n")
        identity = RunIdentity(**json.loads(first))
    except FileNotFoundError:  # delivered meanwhile
        return None
    except (OSError, ValueError, TypeError) as error:
        warn(f"{path} cannot be read ({error}): its epochs are not delivered, delete it")
        return None
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError):  # the last line, if its process was killed
            entries.append(json.loads(line))
    return identity, entries


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)


def _line(content: object) -> bytes:
    return f"{json.dumps(content)}\n".encode()
