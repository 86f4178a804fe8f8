from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.ingest.shared_memory import Slots, part_writer, written_part

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("sizes", [[], [3, 7], [3, 8], [11, 1], [5, 5, 5, 0]])
def test_the_bytes_of_a_part_come_back_whether_they_fit_or_not(
    tmp_path: Path, sizes: list[int]
) -> None:
    slots, file = Slots(3, 10), tmp_path / "1.bin"
    slots.use()
    slot = slots.free.pop()
    written = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    writer = part_writer(slot, file)
    for image in written:
        writer.append(image)
    assert writer.bytes == sum(sizes)
    assert file.exists() == (sum(sizes) > 10)
    with written_part(slots, slot, file, sum(sizes)) as content:
        assert bytes(content) == b"".join(written)
        assert slot not in slots.free
    assert not file.exists()
    assert sorted(slots.free) == [0, 1, 2]


def test_parts_in_different_slots_do_not_touch_each_other(tmp_path: Path) -> None:
    slots = Slots(2, 4)
    slots.use()
    for slot in (0, 1):
        part_writer(slot, tmp_path / "no").append(bytes([slot + 1]) * 4)
    assert [bytes(slots.content(slot)) for slot in (0, 1)] == [b"\1" * 4, b"\2" * 4]
