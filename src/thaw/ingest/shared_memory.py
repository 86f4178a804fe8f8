"""Memory through which processes hand encoded images to the process that writes them.

It is mapped before the processes are forked, so that nothing is copied between them. What does not
fit is written to a file.
"""

from __future__ import annotations

import mmap
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Buffer

_slots: Slots | None = None  # of this process, or inherited by it


class Slots:
    """``count`` pieces of shared memory with ``size`` bytes each."""

    def __init__(self, count: int, size: int) -> None:
        self.size = size
        self.free = list(range(count))
        self._memory = memoryview(mmap.mmap(-1, count * size))

    def use(self) -> None:
        """Make these the slots of this process."""
        global _slots
        _slots = self

    def content(self, slot: int) -> memoryview:
        """Return the memory of a slot."""
        return self._memory[slot * self.size : (slot + 1) * self.size]


class PartWriter:
    """Appends images to a slot, and to ``file`` as soon as they do not fit; ``bytes`` counts them.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, memory: memoryview, file: Path) -> None:
        self._memory = memory
        self._file = file
        self._used_file = False
        self.bytes = 0

    def append(self, content: Buffer) -> None:
        """Append the bytes of an image."""
        view = memoryview(content)
        end = self.bytes + len(view)
        if end <= len(self._memory):
            self._memory[self.bytes : end] = view
        else:
            with self._file.open("ab" if self._used_file else "wb") as stream:
                if not self._used_file:
                    stream.write(self._memory[: self.bytes])
                    self._memory, self._used_file = self._memory[:0], True
                stream.write(view)
        self.bytes = end


def part_writer(slot: int, file: Path) -> PartWriter:
    """Return a writer into ``slot`` of this process."""
    if _slots is None:
        raise RuntimeError("no slots in this process")
    return PartWriter(_slots.content(slot), file)


@contextmanager
def written_part(slots: Slots, slot: int, file: Path, size: int) -> Iterator[Buffer]:
    """Yield the ``size`` bytes of a part; afterwards its file is removed and its slot is free."""
    if size <= slots.size:
        yield slots.content(slot)[:size]
    else:
        yield file.read_bytes()
        file.unlink()
    slots.free.append(slot)
