"""Pack the readable images of a source, and collect what cannot be used."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import IMAGES
from thaw.errors import ThawError
from thaw.ingest.checks import conflict_problems, label_conflicts
from thaw.ingest.file_states import changed_without_time
from thaw.ingest.listing import BadFile
from thaw.ingest.part_reading import PARTIAL, packed_parts
from thaw.system.counted_progress import counted
from thaw.system.storage_errors import write_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thaw.config.data_sections import Prepare
    from thaw.ingest.file_states import FileState
    from thaw.ingest.listing import Listing
    from thaw.ingest.part_packing import PackedPart
    from thaw.ingest.reading import ImageRecord

_CHANGED = "; the content has changed since the last run, the time of the file has not"


@dataclass
class Packed:
    """The result of packing.

    Attributes:
        records: The packed images, in the order of the store.
        bad_files: The files that cannot be used.
        dropped: The groups of images that were left out because of their labels.
        problems: Lines that name what else must be corrected.
        changed: Files whose content has changed since the last run, but not their time.
        states: The state of each file that was read.
    """

    records: list[ImageRecord] = field(default_factory=list)
    bad_files: list[BadFile] = field(default_factory=list)
    dropped: list[list[str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    states: dict[str, FileState] = field(default_factory=dict)

    def add(self, part: PackedPart) -> None:
        """Append the images and the bad files of ``part``."""
        for item in part.items:
            if isinstance(item, BadFile):
                self.bad_files.append(item)
            else:
                self.records.append(item[0])


def pack(
    config: Prepare,
    found: Listing,
    folder: Path,
    earlier: Mapping[str, FileState],
    scratch: Path | None = None,
) -> Packed:
    """Pack the readable images of ``found`` into ``folder``.

    ``earlier`` are the states of the files at the last run. ``scratch`` is a folder in which a
    stopped run leaves what it has packed; the next one continues there. The caller ends this by
    :func:`remove_scratch` or :func:`keep_for_next_run`.

    Raises:
        ThawError: a file cannot be written, or a process was killed.
    """
    with ExitStack() as stack:
        if scratch is None:
            scratch = Path(stack.enter_context(TemporaryDirectory(prefix=".packing-", dir=folder)))
        scratch.mkdir(parents=True, exist_ok=True)
        packed = Packed(bad_files=list(found.bad_files), problems=list(found.problems))
        with PackWriter(folder, config, scratch / PARTIAL) as store:
            parts = packed_parts(config, found, store, scratch)
            total = len(found.samples)
            for part in counted(parts, "reading images", total, "images", size=len):
                packed.add(part)
            _compare_states(packed, earlier)
            _leave_out_conflicts(config, packed, store)
    return packed


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


def _compare_states(packed: Packed, earlier: Mapping[str, FileState]) -> None:
    """Find files that changed without a change of their time, and say so of bad ones."""
    packed.states = {record.sample.path: record.state for record in packed.records}
    packed.states |= {bad.path: bad.state for bad in packed.bad_files if bad.state}
    packed.changed = changed_without_time(earlier, packed.states)
    changed = set(packed.changed)
    packed.bad_files = [
        replace(bad, reason=bad.reason + _CHANGED) if bad.path in changed else bad
        for bad in packed.bad_files
    ]


def _leave_out_conflicts(config: Prepare, packed: Packed, store: PackWriter) -> None:
    """Treat identical images with different labels as ``prepare.on_conflict`` says."""
    conflicts = label_conflicts(
        [record.sample.path for record in packed.records],
        [record.sample.label for record in packed.records],
        [record.group for record in packed.records],
    )
    if config.on_conflict == "error":
        packed.problems += conflict_problems(conflicts.values())
        return
    store.leave_out(
        {number for number, each in enumerate(packed.records) if each.group in conflicts}
    )
    packed.records = [record for record in packed.records if record.group not in conflicts]
    packed.dropped = list(conflicts.values())
