"""Pack one part of a listing: read, decode and encode its images, in any process.

The encoded images go into shared memory, so that a process need not send them to another one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thaw.data.pack_writer import PackedSize, encode
from thaw.errors import ThawError
from thaw.ingest.listing import BadFile
from thaw.ingest.reading import ImageRecord, read_image, read_state
from thaw.ingest.shared_memory import part_writer
from thaw.system.process_map import raise_if_stopped
from thaw.system.storage_errors import write_failure

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.prepare_section import Prepare
    from thaw.ingest.listed_parts import ListedPart
    from thaw.ingest.reading import Allowed


@dataclass(frozen=True)
class Part:
    """Consecutive samples of a listing, and where their encoded images go: ``shared_memory.py``."""

    samples: ListedPart
    slot: int
    file: Path


@dataclass(frozen=True)
class PackedPart:
    """Results of the samples of a part, in order; an image has the size of its bytes."""

    items: list[tuple[ImageRecord, PackedSize] | BadFile]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def sizes(self) -> list[PackedSize]:
        """The sizes of the packed images."""
        return [item[1] for item in self.items if not isinstance(item, BadFile)]


def pack_part(allowed: Allowed, config: Prepare, part: Part) -> PackedPart:
    """Write the encoded images of ``part`` into its slot, one after the other.

    Raises:
        ThawError: the file cannot be written.
    """
    items: list[tuple[ImageRecord, PackedSize] | BadFile] = []
    try:
        writer = part_writer(part.slot, part.file)
        for sample, span in part.samples.located():
            raise_if_stopped()
            image = read_image(allowed, config, sample, span)
            if isinstance(image, BadFile):
                items.append(image)
                continue
            content, size = encode(image.pixels, config)
            writer.append(content)
            items.append((image.record, size))
    except OSError as error:
        raise ThawError(write_failure(part.file, error, "packed images")) from error
    return PackedPart(items)


def checked_part(
    allowed: Allowed, config: Prepare, known: tuple[ListedPart, PackedPart]
) -> PackedPart | None:
    """Return a part that was packed before, with the present times of its files.

    ``known`` are the samples of the listing in its place, and the part. None is returned if a
    sample is another one, or the content of a file.
    """
    samples, part = known
    if len(samples.samples) != len(part.items):
        return None
    items: list[tuple[ImageRecord, PackedSize] | BadFile] = []
    for (sample, span), item in zip(samples.located(), part.items, strict=True):
        raise_if_stopped()
        if isinstance(item, BadFile):
            if read_image(allowed, config, sample, span) != item:
                return None
            items.append(item)
            continue
        record, size = item
        state = read_state(allowed, sample, span)
        if state is None or state.digest != record.digest or sample != record.sample:
            return None
        items.append((replace(record, state=state), size))
    return PackedPart(items)
