from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import settings
from thaw.ingest.checks import (
    Facts,
    class_problems,
    conversion_counts,
    duplicates,
    label_conflicts,
    leaks,
    read_all,
)
from thaw.ingest.duplicates import difference_hash
from thaw.ingest.sources import Listing, Sample, list_csv, list_folder

CONFIG = settings.prepare(
    val_fraction=0.2, test_fraction=0.2, short_side=16, encoding="raw", max_megapixels=1.0
)


def save(path: Path, seed: int = 0, size: int = 10) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def facts(found: Listing) -> list[Facts]:
    """The facts of a listing that has no bad image."""
    result = []
    for item in read_all(found, CONFIG):
        assert not isinstance(item, str), item
        result.append(item[0])
    return result


def problems(found: Listing) -> list[str]:
    return [item for item in read_all(found, CONFIG) if isinstance(item, str)]


# Reading


def test_images_come_in_the_order_of_the_listing(tmp_path: Path) -> None:
    # More than are kept in flight, and of sizes that take differently long.
    for number in range(300):
        save(tmp_path / "cat" / f"{number:03d}.png", number, 60 if number % 7 == 0 else 2)
    found = list_folder(tmp_path)
    assert [fact.sample for fact in facts(found)] == found.samples


def test_the_digest_is_of_the_file_and_the_size_is_its_own(tmp_path: Path) -> None:
    path = save(tmp_path / "cat" / "1.png", size=40)
    (item,) = read_all(list_folder(tmp_path), CONFIG)
    assert not isinstance(item, str)
    fact, pixels = item
    assert fact.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (fact.width, fact.height) == (40, 40)
    assert pixels.shape == (16, 16, 3)


def test_equal_pixels_are_one_group_whatever_the_file(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/copy.png", "dog/same.bmp"):
        save(tmp_path / name)
    save(tmp_path / "dog" / "other.png", seed=1)
    png, copy, other, bmp = facts(list_folder(tmp_path))
    assert png.group == copy.group == bmp.group != other.group
    assert png.digest == copy.digest != bmp.digest


def test_equal_bytes_of_another_shape_are_another_group(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for shape in ((4, 9), (6, 6)):
        Image.new("RGB", shape, "red").save(tmp_path / "cat" / f"{shape[0]}.png")
    first, second = facts(list_folder(tmp_path))
    assert first.group != second.group


@pytest.mark.parametrize("bits", [0, 4])
def test_a_hash_is_computed_only_where_near_duplicates_are_looked_for(
    tmp_path: Path, bits: int
) -> None:
    save(tmp_path / "cat" / "1.png")
    config = settings.prepare(short_side=16, near_duplicates=bits)
    (item,) = read_all(list_folder(tmp_path), config)
    assert not isinstance(item, str)
    assert item[0].hash == (difference_hash(item[1]) if bits else None)


def test_every_bad_file_is_named_and_the_good_ones_are_read(tmp_path: Path) -> None:
    whole = save(tmp_path / "cat" / "good.png").read_bytes()
    bad = {
        "empty.jpg": b"",
        "page.jpg": b"<html></html>",
        "cut.png": whole[: len(whole) // 2],
    }
    for name, content in bad.items():
        (tmp_path / "cat" / name).write_bytes(content)
    save(tmp_path / "cat" / "large.png", size=1001)
    found = list_folder(tmp_path)
    lines = problems(found)
    assert [line.split(":")[0] for line in lines] == [
        str(tmp_path / "cat" / name) for name in ("cut.png", "empty.jpg", "large.png", "page.jpg")
    ]
    assert "max_megapixels" in lines[2]
    assert sum(not isinstance(item, str) for item in read_all(found, CONFIG)) == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text("path,label\ngone.png,a\n")
    assert problems(list_csv(tmp_path / "images.csv", tmp_path)) == [
        f"{tmp_path / 'gone.png'}: No such file or directory"
    ]


def test_a_link_out_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "secret.png")
    root = tmp_path / "raw"
    save(root / "cat" / "1.png")
    (root / "cat" / "2.png").symlink_to(tmp_path / "secret.png")
    (line,) = problems(list_folder(root))
    assert line == f"{root / 'cat' / '2.png'}: leads out of the data folder {root}"


def test_a_class_folder_that_is_a_link_out_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "secret" / "1.png")
    root = tmp_path / "raw"
    save(root / "cat" / "1.png")
    (root / "dog").symlink_to(tmp_path / "secret")
    (line,) = problems(list_folder(root))
    assert "leads out of the data folder" in line


def test_a_link_within_the_data_folder_is_followed(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png")
    (tmp_path / "cat" / "2.png").symlink_to("1.png")
    first, second = facts(list_folder(tmp_path))
    assert first.digest == second.digest


def test_the_data_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    save(tmp_path / "disk" / "cat" / "1.png")
    (tmp_path / "raw").symlink_to(tmp_path / "disk")
    assert len(facts(list_folder(tmp_path / "raw"))) == 1


@pytest.mark.parametrize("target", ["loop.png", "gone.png"])
def test_a_link_to_nothing_is_named(tmp_path: Path, target: str) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "loop.png").symlink_to(target)
    (line,) = problems(list_folder(tmp_path))
    assert line.startswith(str(tmp_path / "cat" / "loop.png"))


def test_a_link_to_itself_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    link = tmp_path / "cat" / "loop.png"
    link.symlink_to("loop.png")
    (line,) = problems(list_folder(tmp_path))
    if sys.version_info < (3, 13):  # from then on, the system's own words
        assert line == f"{link}: a link to itself"


def test_an_image_of_a_shape_that_shows_nothing_is_a_problem_with_its_reason(
    tmp_path: Path,
) -> None:
    save(tmp_path / "cat" / "good.png")
    for width, height in ((1, 20_000), (900_000, 1)):
        Image.new("L", (width, height)).save(tmp_path / "cat" / f"{width}.png")
    lines = problems(list_folder(tmp_path))
    assert [line.split(":")[0].split("/")[-1] for line in lines] == ["1.png", "900000.png"]
    for line, shape in zip(lines, ("1 x 20000", "900000 x 1"), strict=True):
        assert f"{shape} pixels: one side is more than 100 times the other" in line


def test_an_image_longer_than_a_jpeg_may_be_is_a_problem_where_it_is_packed_as_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "cat").mkdir()
    Image.new("L", (65_501, 700)).save(tmp_path / "cat" / "long.png")
    large = {"short_side": 700, "max_megapixels": 100.0}
    as_jpeg = settings.prepare(encoding="jpeg", **large)
    (line,) = read_all(list_folder(tmp_path), as_jpeg)
    assert isinstance(line, str)
    assert "65501 x 700 pixels at prepare.short_side, and a JPEG has at most 65500" in line
    (item,) = read_all(list_folder(tmp_path), settings.prepare(encoding="raw", **large))
    assert not isinstance(item, str)


def test_an_error_of_thaws_own_is_not_taken_for_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "cat" / "1.png")

    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr("thaw.ingest.checks.decode", failing)
    with pytest.raises(RuntimeError, match="something else"):
        problems(list_folder(tmp_path))


@pytest.mark.parametrize("path", ["/etc/hostname", "../secret.png", "cat/../../secret.png"])
def test_a_row_that_leads_out_of_the_data_folder_is_refused(tmp_path: Path, path: str) -> None:
    save(tmp_path / "secret.png")
    save(tmp_path / "raw" / "cat" / "1.png")
    (tmp_path / "images.csv").write_text(f"path,label\n{path},a\n")
    (line,) = problems(list_csv(tmp_path / "images.csv", tmp_path / "raw"))
    assert "leads out of the data folder" in line


@pytest.mark.parametrize("name", ["a\0b.png", "a" * 300, "cat"])
def test_a_row_whose_path_is_no_file_is_a_problem(tmp_path: Path, name: str) -> None:
    (tmp_path / "cat").mkdir()
    (line,) = problems(Listing(tmp_path, [Sample(name, "cat")], ["cat"]))
    assert line.isprintable()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are always Unicode")
def test_a_name_that_is_not_utf_8_is_a_problem(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png")
    source = os.fsencode(tmp_path / "cat" / "1.png")
    Path(os.fsdecode(source.replace(b"1.png", b"\xff.png"))).write_bytes(b"")
    (line,) = problems(list_folder(tmp_path))
    assert "not valid UTF-8" in line
    line.encode("utf-8")  # it can be printed


def test_what_decoding_changed_is_counted(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for number, mode in enumerate(("L", "L", "RGBA", "RGB")):
        Image.new(mode, (9, 9)).save(tmp_path / "cat" / f"{number}.png")
    counts = conversion_counts([fact.conversions for fact in facts(list_folder(tmp_path))])
    assert counts == {"grey to RGB": 2, "transparency composited on white": 1}


# Classes


def test_no_image_at_all_is_one_problem(tmp_path: Path) -> None:
    assert class_problems(list_folder(tmp_path)) == [f"{tmp_path}: there is no image in it"]


def test_an_empty_class_and_a_single_class_are_both_told(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png")
    (tmp_path / "dog").mkdir()
    (tmp_path / "fox").mkdir()
    empty, other, single = class_problems(list_folder(tmp_path))
    assert empty.startswith(f"{tmp_path / 'dog'}: the class has no image")
    assert other.startswith(f"{tmp_path / 'fox'}: the class has no image")
    assert "only one class (cat); a classifier needs two" in single


def test_two_filled_classes_are_no_problem(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png")
    save(tmp_path / "dog" / "1.png")
    assert class_problems(list_folder(tmp_path)) == []


def test_an_empty_class_in_a_given_split_is_named_by_a_folder_that_exists(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        save(tmp_path / split / "cat" / "1.png")
        save(tmp_path / split / "dog" / "1.png")
    (tmp_path / "train" / "fox").mkdir()
    (line,) = class_problems(list_folder(tmp_path))
    assert Path(line.split(":")[0]).is_dir()


# Groups


def test_duplicates_are_listed_by_group() -> None:
    assert duplicates(["a", "b", "c", "d", "e"], ["1", "2", "1", "3", "2"]) == [
        ["a", "c"],
        ["b", "e"],
    ]


def test_a_label_conflict_is_a_group_with_two_labels() -> None:
    found = label_conflicts(["a", "b", "c", "d"], ["x", "x", "x", "y"], ["1", "1", "2", "2"])
    assert found == [["c (x)", "d (y)"]]


@pytest.mark.parametrize(
    ("splits", "count"),
    [
        (["train", "train", "val", "test"], 0),
        (["train", "val", "val", "test"], 1),
        (["test", "val", "train", "train"], 2),
        (["val", "val", "train", "train"], 0),
    ],
)
def test_a_leak_is_an_image_that_also_stands_in_another_split(
    splits: list[str], count: int
) -> None:
    groups = ["1", "1", "2", "3"]
    assert leaks(groups, splits) == count


def test_an_image_that_leaks_from_training_twice_counts_twice() -> None:
    assert leaks(["1", "1", "1"], ["train", "val", "val"]) == 2


def test_conversions_are_counted_most_frequent_first() -> None:
    counts = conversion_counts([("a",), ("b", "a"), (), ("b",), ("b",)])
    assert list(counts.items()) == list(Counter("bbbaa").most_common())
