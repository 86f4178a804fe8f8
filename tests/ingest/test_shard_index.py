from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.ingest.shards import numbered, png, write_shard
from thaw.ingest.listing import Fields
from thaw.ingest.shard_index import ShardIndex, index_shard

if TYPE_CHECKING:
    from pathlib import Path

CLS = Fields("cls")


def index(path: Path, fields: Fields = CLS, split: str | None = None) -> ShardIndex:
    return index_shard(path, "s.tar", fields, split)


def reasons(path: Path, fields: Fields = CLS) -> list[tuple[str, str]]:
    return [(bad.path, bad.reason) for bad in index(path, fields).bad_files]


def test_samples_and_images_are_those_that_webdataset_reads(tmp_path: Path) -> None:
    import webdataset

    path = write_shard(tmp_path / "s.tar", numbered(0, 5))
    found = index(path)
    read = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [sample.path for sample in found.samples] == [
        f"s.tar/{sample['__key__']}.png" for sample in read
    ]
    assert [sample.label for sample in found.samples] == [sample["cls"].decode() for sample in read]
    content = path.read_bytes()
    assert [content[span.offset : span.offset + span.length] for span in found.spans] == [
        sample["png"] for sample in read
    ]
    assert found.bad_files == []
    assert {span.modified for span in found.spans} == {path.stat().st_mtime_ns}


@pytest.mark.parametrize(
    ("field", "labels"),
    [("cls", ["0", "1"]), ("txt", ["cat", "dog"]), ("json.label.name", ["0", "1"])],
)
def test_a_label_is_the_value_of_any_field(tmp_path: Path, field: str, labels: list[str]) -> None:
    path = write_shard(tmp_path / "s.tar", numbered(0, 2))
    assert [sample.label for sample in index(path, Fields(field)).samples] == labels


def test_a_split_is_that_of_the_shard_or_of_a_field(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "s.tar", numbered(0, 4))
    assert [sample.split for sample in index(path, split="test").samples] == ["test"] * 4
    splits = [sample.split for sample in index(path, Fields("cls", "json.split"), "test").samples]
    assert splits == ["val", "train", "train", "val"]


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"cls": None}, "cls", "no field cls; the fields are json, png, txt"),
        ({"png": None}, "cls", "no image; the fields are cls, json, txt"),
        ({"jpg": b"x"}, "cls", "two images (jpg, png); the fields are cls, jpg, json, png, txt"),
        ({"txt": " \n"}, "txt", "the field txt is empty"),
        ({"txt": b"\xff"}, "txt", "the field txt is not UTF-8"),
        ({"json": b"{"}, "json.split", "the field json is not JSON"),
        ({}, "json.label", "json.label is neither a text nor a whole number"),
        ({}, "json.label.no", "the JSON has no label.no"),
        ({"cls": b"x" * (1 << 21)}, "cls", "the field cls has 2,097,152 bytes"),
    ],
)
def test_a_sample_without_usable_fields_is_named_and_the_others_are_read(
    tmp_path: Path, change: dict[str, Any], field: str, reason: str
) -> None:
    samples = numbered(0, 3)
    samples[1] = {
        name: value for name, value in {**samples[1], **change}.items() if value is not None
    }
    write_shard(tmp_path / "s.tar", samples)
    found = reasons(tmp_path / "s.tar", Fields(field))
    assert ("s.tar/0001", reason) in found
    if change:
        assert len(found) == 1


def test_a_split_with_an_unknown_name_is_refused(tmp_path: Path) -> None:
    (sample,) = numbered(1, 1)
    write_shard(tmp_path / "s.tar", [{**sample, "txt": "extra"}])
    assert reasons(tmp_path / "s.tar", Fields("cls", "txt")) == [
        ("s.tar/0001", "txt is 'extra', but must be one of train, val, test")
    ]


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "s.tar", [*numbered(0, 2), *numbered(0, 1)])
    assert reasons(tmp_path / "s.tar") == [("s.tar/0000", "the key occurs twice in the shard")]


def test_a_field_that_occurs_twice_in_a_sample_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "s.tar", [*numbered(0, 1), *numbered(0, 2)])
    found = index(tmp_path / "s.tar")
    assert [(bad.path, bad.reason) for bad in found.bad_files] == [
        ("s.tar/0000", "the field cls occurs twice: give each sample its own key")
    ]
    assert [sample.path for sample in found.samples] == ["s.tar/0001.png"]


def test_names_and_labels_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with tarfile.open(
        tmp_path / "s.tar", "w", encoding="latin-1", format=tarfile.GNU_FORMAT
    ) as tar:
        members = {
            "caf\xe9.png": png(1),
            "caf\xe9.json": b'{"label": "a"}',
            "b.png": png(2),
            "b.json": rb'{"label": "\ud800"}',
        }
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    assert reasons(tmp_path / "s.tar", Fields("json.label")) == [
        ("s.tar/caf\udce9", "the name is not valid UTF-8"),
        ("s.tar/b", "the field json.label is not UTF-8"),
    ]


def test_members_that_are_no_samples_are_not_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("__meta__/x.json"))
        archive.addfile(tarfile.TarInfo("README"))
        for name, content in (("a/b.x/1.PNG", png(1)), ("a/b.x/1.cls", b"7")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    found = index(tmp_path / "s.tar")
    assert [(sample.path, sample.label) for sample in found.samples] == [("s.tar/a/b.x/1.png", "7")]
    assert found.bad_files == []


@pytest.mark.parametrize("kept", [0, 1, 511, 512, 600, 3000, -1500, -10240])
def test_a_truncated_shard_is_named_beside_the_samples_before_the_damage(
    tmp_path: Path, kept: int
) -> None:
    path = write_shard(tmp_path / "s.tar", numbered(0, 8))
    content = path.read_bytes()
    end = content.rindex(b"\1") // 512 * 512 + 512  # the zeros at the end do not count
    cut = content[:kept] if kept >= 0 else content[: end + kept]
    path.write_bytes(cut)
    found = index(path)
    assert found.bad_files[-1].path == "s.tar"
    assert "not a complete tar file without compression" in found.bad_files[-1].reason
    assert len(found.samples) < 8
    assert all(span.offset + span.length <= len(cut) for span in found.spans)


def test_a_compressed_shard_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("1.png"))
    ((path, reason),) = reasons(tmp_path / "s.tar")
    assert path == "s.tar"
    assert "without compression" in reason
