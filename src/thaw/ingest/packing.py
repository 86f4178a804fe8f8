"""Pack the readable images of a source, and collect what cannot be used."""

from __future__ import annotations

import shutil
from array import array
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import IMAGES
from thaw.errors import ThawError
from thaw.ingest import file_states
from thaw.ingest.checks import conflict_problems, label_conflicts, repeated_hashes
from thaw.ingest.file_states import changed_without_time, path_hash, state_row
from thaw.ingest.listing import BadFile
from thaw.ingest.packing_journal import JOURNAL, Journal, RecordFile
from thaw.ingest.part_reading import PARTIAL, packed_parts, packing_key
from thaw.system.counted_progress import counted
from thaw.system.storage_errors import write_failure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.config.prepare_section import Prepare
    from thaw.ingest.listing import Listing
    from thaw.ingest.part_packing import PackedPart

_CHANGED = "; the content has changed since the last run, the time of the file has not"


@dataclass
class Packed:
    """The result of packing.

    Attributes:
        records: The records of the packed images, in the order of the store.
        bad_files: The files that cannot be used.
        dropped: The groups of images that were left out because of their labels.
        problems: Lines that name what else must be corrected.
        changed: Files whose content has changed since the last run, but not their time.
        states: The state of each file that was read (N, 3).
    """

    records: RecordFile
    bad_files: list[BadFile]
    problems: list[str]
    states: NDArray[np.uint64]
    dropped: list[list[str]] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def pack(
    config: Prepare,
    found: Listing,
    folder: Path,
    scratch: Path,
    states: Path | None = None,
) -> Packed:
    """Pack the readable images of ``found`` into ``folder``.

    ``states`` has the states of the files at the last runs. ``scratch`` is a folder in which a
    stopped run leaves what it has packed; the next one continues there. It contains the records:
    the caller uses them, and ends by :func:`remove_scratch` or :func:`keep_for_next_run`.

    Raises:
        ThawError: a file cannot be written, or a process was killed.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    journal = Journal(scratch / JOURNAL, packing_key(config, found))
    bad_files, rows, images = list[BadFile](), array("Q"), 0
    with PackWriter(folder, config, scratch / PARTIAL) as store:
        parts = packed_parts(config, found, store, journal)
        for part in _counted(parts, found):
            for item in part.items:
                if isinstance(item, BadFile):
                    bad_files.append(item)
                    rows.extend(state_row(item.path, item.state) if item.state else ())
                else:
                    images += 1
                    rows.extend(state_row(item[0].sample.path, item[0].state))
        if found.shards is not None:
            found.classes = sorted({sample.label for sample in found.samples})
        table = np.frombuffer(rows, dtype=np.uint64).reshape(-1, 3)
        bad_files = [*found.bad_files, *bad_files]
        packed = Packed(RecordFile(journal, images), bad_files, list(found.problems), table)
        if states is not None:
            _compare_states(packed, file_states.read(states, found.root))
        _leave_out_conflicts(config, packed, store)
    return packed


def _counted(parts: Iterator[PackedPart], found: Listing) -> Iterator[PackedPart]:
    """Yield ``parts`` with progress; how many images shards have is estimated from their sizes."""
    if found.shards is None:
        return counted(parts, "reading images", len(found.samples), "images", size=len)
    return counted(parts, "reading images of shards", found.shards.expected, "images", size=len)


def _compare_states(packed: Packed, earlier: NDArray[np.uint64]) -> None:
    """Find files that changed without a change of their time, and say so of bad ones."""
    changed = changed_without_time(earlier, packed.states)
    if not changed:
        return
    paths = [record.sample.path for record in packed.records]
    paths += [bad.path for bad in packed.bad_files if bad.state]
    packed.changed = sorted(path for path in paths if path_hash(path) in changed)
    names = set(packed.changed)
    packed.bad_files = [
        replace(bad, reason=bad.reason + _CHANGED) if bad.path in names and bad.state else bad
        for bad in packed.bad_files
    ]


def _leave_out_conflicts(config: Prepare, packed: Packed, store: PackWriter) -> None:
    """Treat identical images with different labels as ``prepare.on_conflict`` says."""
    records = packed.records
    repeated = repeated_hashes(record.group for record in records)
    images = [each for each in records if hash(each.group) in repeated] if repeated else []
    conflicts = label_conflicts(
        [record.sample.path for record in images],
        [record.sample.label for record in images],
        [record.group for record in images],
    )
    if config.on_conflict == "error":
        packed.problems += conflict_problems(conflicts.values())
    elif conflicts:
        numbers = [number for number, each in enumerate(records) if each.group in conflicts]
        store.leave_out(set(numbers))
        records.leave_out(conflicts)
        packed.dropped = list(conflicts.values())


def remove_scratch(scratch: Path) -> None:
    """Remove what the next run would continue with."""
    shutil.rmtree(scratch, ignore_errors=True)


def keep_for_next_run(folder: Path, scratch: Path) -> None:
    """Move the packed images from ``folder`` back to ``scratch``: the data cannot be used yet.

    Raises:
        ThawError: the file cannot be moved.
    """
    try:
        shutil.move(folder / IMAGES, scratch / PARTIAL)
    except OSError as error:
        raise ThawError(write_failure(scratch / PARTIAL, error)) from error
