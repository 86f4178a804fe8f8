"""States of the source files: find files that changed without a change of their time.

A file that is changed by a program gets a new modification time. Where the content is another and
the time is the same, the disk or a copy has damaged the file, perhaps in a way that still decodes.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xxhash

from thaw.system.files import write_parts
from thaw.system.npy_files import npy_parts
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    States = NDArray[np.uint64]

FOLDER = "source_states"  # one file for each folder of sources
_MOST_NAMED = 5
_BLOCK = 1 << 14  # rows that are written at once
_ROW = 3  # hash of the path, time, start of the SHA-256


class FileState(NamedTuple):
    """Modification time in nanoseconds and SHA-256 of a file."""

    modified: int
    digest: str


def path_hash(path: str) -> int:
    """Return 64 bits that stand for a path, in whichever way a CSV file spells it."""
    if "./" in path or "//" in path:
        path = posixpath.normpath(path)
    return xxhash.xxh3_64_intdigest(path.encode("utf-8", "surrogatepass"))


def state_row(path: str, state: FileState) -> tuple[int, int, int]:
    """Return the state of the file ``path`` as three numbers of 64 bits."""
    return path_hash(path), state.modified % 2**64, int(state.digest[:16], 16)


def read(folder: Path, root: Path) -> States:
    """Return the states (N, 3) of the files below ``root`` at the last run; N = 0 if unknown.

    ``folder`` has the records of this machine. If that of ``root`` is damaged, nothing is compared.
    """
    nothing = np.empty((0, _ROW), dtype=np.uint64)
    try:
        table = np.load(_record(folder, root), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return nothing
    is_table = isinstance(table, np.ndarray) and table.dtype == np.uint64 and table.ndim == 2
    states: States = table if is_table and table.shape[1] == _ROW else nothing
    return states


def write(states: States, folder: Path, root: Path) -> None:
    """Write the states of the files below ``root``; those of other folders of sources stay.

    Raises:
        ThawError: the file cannot be written.
    """
    table = states.reshape(-1, _ROW)
    blocks = (table[start : start + _BLOCK] for start in range(0, len(table), _BLOCK))
    write_parts(_record(folder, root), npy_parts(len(table), _ROW, table.dtype, blocks))


def _record(folder: Path, root: Path) -> Path:
    return folder / f"{path_hash(str(root.resolve())):016x}.npy"


def changed_without_time(before: States, now: States) -> set[int]:
    """Return the hashes of the paths whose content is another and whose time is the same."""
    _, in_before, in_now = np.intersect1d(before[:, 0], now[:, 0], return_indices=True)
    old, new = before[in_before], now[in_now]
    is_changed = (old[:, 1] == new[:, 1]) & (old[:, 2] != new[:, 2])
    return set(new[is_changed, 0].tolist())


def warnings(changed: Sequence[str]) -> list[str]:
    """Return a warning that names the files."""
    if not changed:
        return []
    more = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
    return [
        f"{quantity(len(changed), 'source file')} changed since the last run without "
        f"a change of the modification time: {', '.join(changed[:_MOST_NAMED])}{more}: the disk or "
        "a copy may have damaged them; compare them with a backup"
    ]
