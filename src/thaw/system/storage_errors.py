"""One line about a file that cannot be written: where, why, and what helps."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_REMEDIES = {
    errno.ENOSPC: "free some space on its disk",
    errno.EDQUOT: "free some space of your quota",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f)",
    errno.EROFS: "mount its file system for writing",
    errno.EIO: "the disk reports an error: see the kernel's log (dmesg)",
    errno.EACCES: "give yourself the permission to write there",
    errno.EPERM: "give yourself the permission to write there",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.ELOOP: "correct the link",
}
# Errors of a storage that nothing but its repair helps, also where no file is named.
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
# No file can have such a path, or this user has no right to it.
_OF_PATHS = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM})
_FULL = 1 << 20  # bytes: a disk with less is full
# Limits of this process, and texts by which libraries name them.
_MEMORY = "out of memory: end other programs, or raise the limit of this process (ulimit -v)"
_FILES = "too many open files: raise the limit (ulimit -n)"
_LIMITS = {errno.ENOMEM: _MEMORY, errno.EMFILE: _FILES}
_LIMIT_TEXTS = {
    "failed to map segment": _MEMORY,
    "can't start new thread": "no thread can be started: raise the limit of processes (ulimit -u)",
}
# The same errors as texts of libraries: SQLite, and those that are not written in Python.
_TEXTS = {
    os.strerror(errno.ENOSPC): errno.ENOSPC,
    "database or disk is full": errno.ENOSPC,
    os.strerror(errno.EDQUOT): errno.EDQUOT,
    os.strerror(errno.EROFS): errno.EROFS,
    "attempt to write a readonly database": errno.EROFS,
    os.strerror(errno.EIO): errno.EIO,
    "disk I/O error": errno.EIO,
}


def write_failure(path: Path | str, error: OSError, what: str = "the file") -> str:
    """Return the message about ``error``, with which ``what`` could not be written to ``path``."""
    return f"{path}: could not write {what}: {reason(error)}"


def reason(error: OSError) -> str:
    """Return what the system says, and what the user can do about it."""
    text = error.strerror or str(error)
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{text}; {remedy}, then run the same command" if remedy else text


def uncaught_failure(error: BaseException) -> str | None:
    """Return the message about a disk, path or permission, or about a limit of this process.

    None for other errors. The cause may be hidden: MLflow and SQLAlchemy raise errors of their own
    from it.
    """
    for each in _causes(error):
        if isinstance(each, OSError) and each.errno in DISK_ERRORS:
            place = each.filename or _full_disk(each.errno) or "a temporary or output file"
            return write_failure(place, each)
        if isinstance(each, OSError) and each.errno in _OF_PATHS and each.filename:
            return f"{each.filename}: {_reason_of_access(each)}"
        if limit := _limit_reached(each):
            return f"{limit}, then run the same command"
        if found := next((text for text in _TEXTS if text in str(each)), None):
            line = next(line for line in str(each).splitlines() if found in line)
            return _explained(line.strip(), _TEXTS[found])
    return None


def _explained(line: str, number: int) -> str:
    """Return a library's line with the disk and the remedy; one of thaw's has them already."""
    remedy = f"{_REMEDIES[number]}, then run the same command"
    if remedy in line:
        return line
    folder = _full_disk(number)
    return f"{line}{f' (the disk of {folder})' if folder else ''}; {remedy}"


def _full_disk(number: int) -> str | None:
    """Return the working directory or the one of temporary files, if the error is its full disk."""
    for find in (Path.cwd, tempfile.gettempdir) if number == errno.ENOSPC else ():
        with contextlib.suppress(OSError):  # a removed folder, no folder for temporary files
            folder = find()
            if shutil.disk_usage(folder).free < _FULL:
                return str(folder)
    return None


def _limit_reached(error: BaseException) -> str | None:
    """Return which limit of this process ``error`` is about, and what helps."""
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, OSError) and error.errno in _LIMITS:
        return _LIMITS[error.errno]
    return next((limit for text, limit in _LIMIT_TEXTS.items() if text in str(error)), None)


def _reason_of_access(error: OSError) -> str:
    """Return the reason; for a file that exists, whether it may not be read or not be written."""
    path, is_permission = str(error.filename), isinstance(error, PermissionError)
    if is_permission and os.access(path, os.F_OK) and not os.access(path, os.R_OK):
        return (
            f"{error.strerror}; give yourself the permission to read it, then run the same command"
        )
    return reason(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
