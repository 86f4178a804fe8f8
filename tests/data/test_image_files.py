from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.data.image_files import ImageFiles, MappedFiles, is_folder_of_shards, remove, shard_name

if TYPE_CHECKING:
    from pathlib import Path

LENGTHS = [4, 5, 1, 30, 2, 10]
CONTENT = bytes(range(sum(LENGTHS)))
FILES = {"00000.bin": (0, 10), "00001.bin": (10, 40), "00002.bin": (40, 52)}


def shards(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in sorted(path.iterdir())}


EXPECTED = {name: CONTENT[start:end] for name, (start, end) in FILES.items()}


def parts(sizes: list[int]) -> list[list[int]]:
    """Return ``LENGTHS`` in groups of ``sizes``."""
    lengths = iter(LENGTHS)
    return [[next(lengths) for _ in range(size)] for size in sizes]


@pytest.mark.parametrize("sizes", [[6], [1] * 6, [2, 4], [3, 3], [5, 1]])
def test_files_depend_on_the_images_and_not_on_the_parts_in_which_they_come(
    tmp_path: Path, sizes: list[int]
) -> None:
    files, start = ImageFiles(tmp_path / "part", 12), 0
    for lengths in parts(sizes):
        files.write(CONTENT[start : start + sum(lengths)], lengths)
        start += sum(lengths)
    files.finish(tmp_path / "images.bin")
    assert shards(tmp_path / "images.bin") == EXPECTED  # the large image has its own file
    assert files.sizes == [10, 30, 12]
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize("kept", range(7))
def test_a_second_writer_reads_what_the_first_one_wrote_and_continues(
    tmp_path: Path, kept: int
) -> None:
    first = ImageFiles(tmp_path / "part", 12)
    first.write(CONTENT, LENGTHS)
    first.close()
    second = ImageFiles(tmp_path / "part", 12)
    start = sum(LENGTHS[:kept])
    assert second.read(LENGTHS[:kept]) == CONTENT[:start]
    second.write(CONTENT[start:], LENGTHS[kept:])
    second.finish(tmp_path / "part")
    assert shards(tmp_path / "part") == EXPECTED


@pytest.mark.parametrize("kept", range(6))
def test_images_that_are_not_taken_are_written_again(tmp_path: Path, kept: int) -> None:
    first = ImageFiles(tmp_path / "part", 12)
    first.write(bytes(len(CONTENT)), LENGTHS)
    first.close()
    second, start = ImageFiles(tmp_path / "part", 12), sum(LENGTHS[:kept])
    second.write(CONTENT[:start], LENGTHS[:kept])
    place = tuple(second.sizes)
    second.read(LENGTHS[kept:])
    second.go_back(place)
    second.write(CONTENT[start:], LENGTHS[kept:])
    second.finish(tmp_path / "part")
    assert shards(tmp_path / "part") == EXPECTED


def test_files_behind_the_place_are_removed_at_the_end(tmp_path: Path) -> None:
    first = ImageFiles(tmp_path / "part", 12)
    first.write(CONTENT, LENGTHS)
    first.close()
    second = ImageFiles(tmp_path / "part", 12)
    second.write(CONTENT[:9], LENGTHS[:2])
    second.finish(tmp_path / "part")
    assert shards(tmp_path / "part") == {"00000.bin": CONTENT[:9]}


def test_each_form_replaces_the_other(tmp_path: Path) -> None:
    path = tmp_path / "part"
    for limit in (0, 12, 0):
        files = ImageFiles(path, limit)
        files.write(CONTENT, LENGTHS)
        files.finish(path)
        assert path.is_dir() == bool(limit)


def test_mapped_files_have_the_bytes_at_the_offsets_of_the_whole(tmp_path: Path) -> None:
    files = ImageFiles(tmp_path / "part", 12)
    files.write(CONTENT, LENGTHS)
    files.finish(tmp_path / "part")
    mapped, offset = MappedFiles(tmp_path / "part", files.sizes), 0
    for length in LENGTHS:
        expected = CONTENT[offset : offset + length]
        assert mapped.content(offset, length).tobytes() == expected
        offset += length
    assert mapped.file(9) == (tmp_path / "part" / "00000.bin", 0)
    assert mapped.file(10) == (tmp_path / "part" / "00001.bin", 10)
    assert mapped.file(10_000) == (tmp_path / "part" / "00002.bin", 40)


def test_only_folders_of_shards_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "images.bin"
    folder.mkdir()
    (folder / shard_name(0)).write_bytes(b"x")
    assert is_folder_of_shards(folder)
    (folder / "mine.png").write_bytes(b"x")
    assert not is_folder_of_shards(folder)
    with pytest.raises(OSError, match="directory"):
        remove(folder)
    assert len(list(folder.iterdir())) == 2
    (folder / "mine.png").unlink()
    remove(folder)
    assert not folder.exists()
    remove(folder)


def test_a_link_to_a_folder_of_shards_is_removed_and_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / shard_name(0)).write_bytes(b"x")
    (tmp_path / "images.bin").symlink_to(tmp_path / "there")
    remove(tmp_path / "images.bin")
    assert (tmp_path / "there" / shard_name(0)).read_bytes() == b"x"
