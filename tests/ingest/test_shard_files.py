from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from tests.ingest.images import touch
from thaw.errors import ThawError
from thaw.ingest.shard_files import local_shards, shard_names

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_names_its_tar_files_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b-1.tar", "b-0.tar", "a/c.tar", "README.md")
    assert shard_names(tmp_path) == ["a/c.tar", "b-0.tar", "b-1.tar"]


def test_a_text_file_names_shards_with_braces(tmp_path: Path) -> None:
    lines = ["# all", "", "train-{08..11}.tar", "  s3://b/{a,b}-{0..1}.tar  "]
    (tmp_path / "shards.txt").write_text("\n".join(lines))
    assert shard_names(tmp_path / "shards.txt") == [
        *("train-08.tar", "train-09.tar", "train-10.tar", "train-11.tar"),
        *("s3://b/a-0.tar", "s3://b/a-1.tar", "s3://b/b-0.tar", "s3://b/b-1.tar"),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "names no shards"),
        (b"# none", "names no shards"),
        (b"a-{0..1.tar", "no list of shards: Unbalanced braces"),
        (b"a.tar\na.tar", "names a.tar twice"),
        (b"a.tar\n./a.tar", "names a.tar twice"),
        (b"  # none, after white space", "names no shards"),
        (b"\xff", "is no list of shards"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "shards.txt").write_bytes(content)
    with pytest.raises(ThawError, match=reason):
        shard_names(tmp_path / "shards.txt")


def test_local_shards_are_not_copied_and_a_missing_one_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "0.tar", "1.tar")
    copies = tmp_path / "copies"
    found = list(local_shards(["0.tar", "1.tar"], tmp_path, copies, first=1))
    assert [(shard.number, shard.file, shard.is_copy) for shard in found] == [
        (1, tmp_path / "1.tar", False)
    ]
    assert not copies.exists()
    with pytest.raises(ThawError, match=r"2\.tar is not a file"):
        list(local_shards(["2.tar"], tmp_path, copies))


def test_remote_shards_are_copied_one_ahead(tmp_path: Path) -> None:
    names = []
    for number in range(5):
        (tmp_path / f"{number}.tar").write_bytes(bytes([number]) * 10)
        names.append(f"file://{tmp_path}/{number}.tar")
    copies = tmp_path / "copies"
    for number, shard in enumerate(local_shards(names, tmp_path, copies)):
        assert shard.is_copy
        assert shard.file.read_bytes() == bytes([number]) * 10
        shard.file.unlink()
        assert len(list(copies.iterdir())) <= 2


@pytest.mark.parametrize("address", ["file:///no/0.tar", "nostore://bucket/0.tar"])
def test_a_remote_shard_that_cannot_be_read_is_one_line(tmp_path: Path, address: str) -> None:
    with pytest.raises(ThawError, match=f"shard {address} cannot be copied: .*the same command"):
        list(local_shards([address], tmp_path, tmp_path / "copies"))


def test_a_disk_that_is_full_while_a_shard_is_copied_is_named_and_not_the_store(
    tmp_path: Path,
) -> None:
    largest = 1 << 26  # bytes of a file: a limit that the system reports like a full disk
    source, copies = tmp_path / "0.tar", tmp_path / "copies"
    with source.open("wb") as stream:
        stream.truncate(largest + 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        with pytest.raises(ThawError, match=rf"^{copies}/0.tar: could not write .*; raise the lim"):
            list(local_shards([f"file://{source}"], tmp_path, copies))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
