"""Read a listing in parts on all cores: those that are packed already, then the others."""

from __future__ import annotations

import json
import shutil
from collections import deque
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import PIL

from thaw.data.decoding_budget import share_budget, state_of_processes
from thaw.ingest.listed_parts import IMAGES_PER_PART, Place, listed_parts
from thaw.ingest.part_packing import Part, checked_part, pack_part
from thaw.ingest.reading import allowed_of
from thaw.ingest.shared_memory import Slots, written_part
from thaw.system.bounded_pool import map_in_order
from thaw.system.code_digests import code_digests
from thaw.system.console import say
from thaw.system.process_map import can_fork, map_in_processes
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import TypeVar

    from typing_extensions import Buffer

    from thaw.config.prepare_section import Prepare
    from thaw.data.decoding_budget import BudgetState
    from thaw.data.pack_writer import PackWriter
    from thaw.ingest.listed_parts import ListedPart
    from thaw.ingest.listing import Listing
    from thaw.ingest.packing_journal import Journal
    from thaw.ingest.part_packing import PackedPart

    Item = TypeVar("Item")
    Result = TypeVar("Result")

PARTIAL = "images.part"
COPIES = "shards"  # folder of copies of remote shards
_PENDING_PER_CORE = 2  # parts that wait for the writer: bounds the memory
_LARGEST_SLOT = 8 << 20  # bytes
_FEW = 64  # images for which processes are not worth their start


def packed_parts(
    config: Prepare, found: Listing, store: PackWriter, journal: Journal
) -> Iterator[PackedPart]:
    """Append the images of ``found`` to ``store``, and yield the parts in order.

    Parts in ``journal`` whose files have not changed are kept, up to the first one that cannot be;
    the others are added to it. Large parts wait in its folder.

    Raises:
        ThawError: a file cannot be written, or a process was killed.
    """
    scratch = journal.path.parent
    kept = images = 0
    place = Place(0, 0)
    for listed, part in _checked(config, found, journal):
        if part is None or not store.keep(part.sizes):
            break
        kept, images, place = kept + 1, images + len(part), listed.next_place
        _note(found, listed)
        yield part
    if kept:
        total = "" if found.shards else f" of {len(found.samples)}"
        say(f"continuing: {images}{total} images are packed already")
    journal.restart(kept)
    _clear(scratch)
    for listed, part, content in _packed(config, found, place, scratch):
        store.append(content, part.sizes)
        store.flush()
        journal.add(part)
        _note(found, listed)
        yield part


def _note(found: Listing, listed: ListedPart) -> None:
    """Add to ``found`` what is known of a shard when it is read."""
    if found.shards is not None:
        for sample in listed.samples:
            found.shards.add(sample)
        if found.shards.starts:
            found.shards.read_bytes = found.shards.starts[listed.next_place.shard]
            if listed.spans and not listed.is_last:
                found.shards.read_bytes += listed.spans[-1].offset + listed.spans[-1].length
        found.bad_files += listed.bad_files
    if listed.finished is not None:
        listed.finished.unlink()


def _clear(scratch: Path) -> None:
    """Remove the parts and the copies of shards of a run that was stopped."""
    shutil.rmtree(scratch / COPIES, ignore_errors=True)
    for name in scratch.glob("*.bin"):
        name.unlink()


def packing_key(config: Prepare, found: Listing) -> str:
    """Return a text of everything but the files that determines the packed images."""
    return json.dumps(
        [
            str(found.root.resolve()),
            config.short_side,
            config.max_megapixels,
            config.range,
            config.jpeg_pixels,
            config.encoding,
            config.shard_mb,
            bool(config.near_duplicates),
            found.follow_links,
            asdict(found.shards.fields) if found.shards else None,
            code_digests()["prepare"],
            PIL.__version__,
        ]
    )


def _checked(
    config: Prepare, found: Listing, journal: Journal
) -> Iterator[tuple[ListedPart, PackedPart | None]]:
    """Yield the parts of ``journal``, with None for those that have to be packed again."""
    started: deque[ListedPart] = deque()

    def known() -> Iterator[tuple[ListedPart, PackedPart]]:
        finished = journal.finished()
        if (first := next(finished, None)) is None:  # no shard is copied for nothing
            return
        listed = listed_parts(found, journal.path.parent / COPIES, Place(0, 0))
        for part, packed in zip(listed, chain([first], finished), strict=False):
            started.append(part)
            yield part, packed

    check = partial(checked_part, allowed_of(found), config)
    for packed in _mapped(check, known(), found):
        yield started.popleft(), packed


def _packed(
    config: Prepare, found: Listing, first: Place, scratch: Path
) -> Iterator[tuple[ListedPart, PackedPart, Buffer]]:
    """Yield the parts from ``first`` on, with their encoded images."""
    slots = _new_slots(config)
    started: deque[Part] = deque()

    def parts() -> Iterator[Part]:
        for listed in listed_parts(found, scratch / COPIES, first):
            slot = slots.free.pop()
            part = Part(listed, slot, scratch / f"{slot}.bin")
            started.append(part)
            yield part

    pack = partial(pack_part, allowed_of(found), config)
    for packed in _mapped(pack, parts(), found, slots.use):
        part, size = started.popleft(), sum(each.length for each in packed.sizes)
        with written_part(slots, part.slot, part.file, size) as content:
            yield part.samples, packed, content


def _new_slots(config: Prepare) -> Slots:
    """Return as many slots as parts can wait, with the size of a part of usual photographs."""
    count = cores() * _PENDING_PER_CORE + 2
    usual = IMAGES_PER_PART * 3 * config.short_side**2 * 3 // 2
    return Slots(count, min(usual, _LARGEST_SLOT))


def _mapped(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    found: Listing,
    initializer: Callable[[], object] = bool,
) -> Iterator[Result]:
    """Yield ``function`` of each item in order, computed on all cores.

    Much of the time for a small JPEG is Python's: threads would wait for each other.
    """
    is_small = not found.shards and len(found.samples) < _FEW
    if is_small or cores() == 1 or not can_fork():
        initializer()
        return map_in_order(function, items, pending_per_core=_PENDING_PER_CORE)
    return map_in_processes(
        function,
        items,
        pending_per_core=_PENDING_PER_CORE,
        purpose="reads images",
        initializer=partial(_start, state_of_processes(), initializer),
    )


def _start(budget: BudgetState, initializer: Callable[[], object]) -> None:
    share_budget(budget)
    initializer()
