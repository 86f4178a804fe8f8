"""Read a listing in parts on all cores: those that are packed already, then the others."""

from __future__ import annotations

import json
from collections import deque
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import PIL

from thaw.data.decoding_budget import share_budget, state_of_processes
from thaw.ingest.part_packing import IMAGES_PER_PART, Part, checked_part, pack_part
from thaw.ingest.part_slots import Slots, written_part
from thaw.ingest.reading import allowed_of
from thaw.system.bounded_pool import map_in_order
from thaw.system.code_digests import code_digests
from thaw.system.console import say
from thaw.system.process_map import can_fork, map_in_processes
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import TypeVar

    from typing_extensions import Buffer

    from thaw.config.data_sections import Prepare
    from thaw.data.decoding_budget import BudgetState
    from thaw.data.pack_writer import PackWriter
    from thaw.ingest.listing import Listing, Sample
    from thaw.ingest.packing_journal import Journal
    from thaw.ingest.part_packing import PackedPart

    Item = TypeVar("Item")
    Result = TypeVar("Result")

PARTIAL = "images.part"
_PENDING_PER_CORE = 2  # parts that wait for the writer: bounds the memory
_LARGEST_SLOT = 8 << 20  # bytes
_FEW = 256  # images for which processes are not worth their start


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
    kept = 0
    for part in _checked(config, found, journal):
        if part is None or not store.keep(part.sizes):
            break
        kept += 1
        yield part
    if kept:
        number = min(kept * IMAGES_PER_PART, len(found.samples))
        say(f"continuing: {number} of {len(found.samples)} images are packed already")
    journal.restart(kept)
    for name in scratch.glob("*.bin"):
        name.unlink()
    for content, part in _packed(config, found, kept, scratch):
        store.append(content, part.sizes)
        store.flush()
        journal.add(part)
        yield part


def packing_key(config: Prepare, found: Listing) -> str:
    """Return a text of everything but the files that determines the packed images."""
    return json.dumps(
        [
            str(found.root.resolve()),
            config.short_side,
            config.max_megapixels,
            config.range,
            config.encoding,
            bool(config.near_duplicates),
            found.follow_links,
            code_digests()["prepare"],
            PIL.__version__,
        ]
    )


def _checked(config: Prepare, found: Listing, journal: Journal) -> Iterator[PackedPart | None]:
    """Yield the parts of ``journal``, with None for those that have to be packed again."""
    parts = zip(_slices(found.samples), journal.finished(), strict=False)
    check = partial(checked_part, allowed_of(found), config)
    yield from _mapped(check, parts, len(found.samples))


def _packed(
    config: Prepare, found: Listing, first: int, scratch: Path
) -> Iterator[tuple[Buffer, PackedPart]]:
    """Yield the parts from number ``first`` on, with their encoded images."""
    slots = _new_slots(config)
    started: deque[Part] = deque()

    def parts() -> Iterator[Part]:
        for number, samples in islice(enumerate(_slices(found.samples)), first, None):
            part = Part(samples, slots.free.pop(), scratch / f"{number}.bin")
            started.append(part)
            yield part

    pack = partial(pack_part, allowed_of(found), config)
    for packed in _mapped(pack, parts(), len(found.samples), slots.use):
        part, size = started.popleft(), sum(each.length for each in packed.sizes)
        with written_part(slots, part.slot, part.file, size) as content:
            yield content, packed


def _new_slots(config: Prepare) -> Slots:
    """Return as many slots as parts can wait, with the size of a part of usual photographs."""
    count = cores() * _PENDING_PER_CORE + 2
    usual = IMAGES_PER_PART * 3 * config.short_side**2 * 3 // 2
    return Slots(count, min(usual, _LARGEST_SLOT))


def _slices(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(samples), IMAGES_PER_PART):
        yield samples[start : start + IMAGES_PER_PART]


def _mapped(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    images: int,
    initializer: Callable[[], object] = bool,
) -> Iterator[Result]:
    """Yield ``function`` of each item in order, computed on all cores.

    Much of the time for a small JPEG is Python's: threads would wait for each other.
    """
    if images < _FEW or cores() == 1 or not can_fork():
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
