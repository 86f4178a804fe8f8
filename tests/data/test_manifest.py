from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest

from thaw.data import manifest
from thaw.data.manifest import LeftOut, Row

if TYPE_CHECKING:
    from pathlib import Path


def row(number: int, path: str = "a/1.png", label: str = "a", split: str = "train") -> Row:
    return Row(number, path, f"{number:064x}", label, split, 640, 480)


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "two words",
        " outer spaces ",
        "a,b;c\td",
        'say "yes"',
        "line\nbreak",
        "windows\r\nbreak",
        "carriage\rreturn",
        "naïve-日本-🦊",
        "e\u0301 \u2028 \x85 \x0b",
        "=1+1",
        "#no comment",
        "\\n",
        "'",
    ],
)
def test_any_name_is_read_back_unchanged(tmp_path: Path, name: str) -> None:
    rows = [row(0, f"{name}/{name}.png", name), row(1, "b/1.png", "b", "test")]
    manifest.write(rows, tmp_path)
    assert list(manifest.read(tmp_path).rows) == rows


def test_classes_are_sorted_and_targets_are_their_indices(tmp_path: Path) -> None:
    labels = ["b", "a", "10", "2", "a"]
    manifest.write([row(number, label=label) for number, label in enumerate(labels)], tmp_path)
    found = manifest.read(tmp_path)
    assert found.classes == ["10", "2", "a", "b"]
    assert [found.classes[target] for target in found.targets] == labels
    assert found.targets.dtype == np.int64


def test_ids_are_those_of_the_split(tmp_path: Path) -> None:
    splits = ["train", "test", "val", "train", "test"]
    manifest.write([row(number, split=split) for number, split in enumerate(splits)], tmp_path)
    found = manifest.read(tmp_path)
    assert {name: found.ids(name).tolist() for name in ("train", "val", "test")} == {
        "train": [0, 3],
        "val": [2],
        "test": [1, 4],
    }


def test_an_absent_split_has_no_ids(tmp_path: Path) -> None:
    manifest.write([row(0)], tmp_path)
    ids = manifest.read(tmp_path).ids("val")
    assert ids.tolist() == []
    assert ids.dtype == np.int64


def test_the_digest_changes_with_any_value(tmp_path: Path) -> None:
    variants = [
        row(0),
        row(1),
        row(0, path="a/2.png"),
        row(0, label="b"),
        row(0, split="val"),
        Row(0, "a/1.png", "f" * 64, "a", "train", 640, 480),
        Row(0, "a/1.png", f"{0:064x}", "a", "train", 641, 480),
    ]
    digests = set()
    for variant in variants:
        manifest.write([variant], tmp_path)
        digests.add(manifest.read(tmp_path).digest)
    assert len(digests) == len(variants)


def test_the_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    manifest.write([row(0)], tmp_path)
    first = (tmp_path / manifest.FILE).read_bytes()
    manifest.write([row(0)], tmp_path)
    assert (tmp_path / manifest.FILE).read_bytes() == first
    assert b"\r" not in first


def test_files_that_are_left_out_follow_the_images_and_are_no_rows(tmp_path: Path) -> None:
    rows = [Row(0, "a/1.png", "00", "a", "train", 4, 5)]
    left_out = [LeftOut("a/2.png", "a", "the file is empty"), LeftOut("x\ny", "", 'with "quotes"')]
    manifest.write(rows, tmp_path, left_out)
    found = manifest.read(tmp_path)
    assert found.rows == rows
    assert found.left_out == left_out
    assert found.classes == ["a"]
    with (tmp_path / manifest.FILE).open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert [(line["path"], line["split"], line["reason"]) for line in lines] == [
        ("a/1.png", "train", ""),
        ("a/2.png", "left out", "the file is empty"),
        ("x\ny", "left out", 'with "quotes"'),
    ]


def test_a_manifest_without_files_that_are_left_out_has_no_column_for_the_reason(
    tmp_path: Path,
) -> None:
    manifest.write([Row(0, "a/1.png", "00", "a", "train", 4, 5)], tmp_path)
    first = (tmp_path / manifest.FILE).read_text().splitlines()[0]
    assert first == '"id","path","digest","label","split","width","height"'
    assert manifest.read(tmp_path).left_out == []
