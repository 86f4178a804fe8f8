from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests import settings
from thaw.data import manifest
from thaw.data.colour_profiles import READ_AS_SRGB
from thaw.data.manifest import Manifest, Row
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import PackedStore
from thaw.ingest import report

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = settings.prepare(
    val_fraction=0.2, test_fraction=0.2, short_side=64, encoding="raw", max_megapixels=1.0
)


def rows(*labels_and_splits: str) -> list[Row]:
    """Return rows: ``"a train"`` is an image of class a; the sizes are 10 x 5, 20 x 5, ..."""
    pairs = [text.split() for text in labels_and_splits]
    return [
        Row(number, f"{number}.png", "", label, split, 10 * (number + 1), 5)
        for number, (label, split) in enumerate(pairs)
    ]


def summary(*labels_and_splits: str, groups: str = "", **changes: Any) -> dict[str, Any]:
    found = Manifest(rows(*labels_and_splits), "digest")
    values = {"conversions": [()] * len(found.rows), "ignored": {}, **changes}
    return report.summarize(found, groups or "abcdefghijkl"[: len(found.rows)], **values)


def test_images_are_counted_by_class_and_split() -> None:
    found = summary("a train", "a train", "a val", "b test", "b train")
    assert (found["images"], found["classes"], found["digest"]) == (5, 2, "digest")
    assert found["splits"] == {"train": 3, "val": 1, "test": 1}
    assert found["images_per_class"] == {
        "a": {"train": 2, "val": 1, "test": 0},
        "b": {"train": 1, "val": 0, "test": 1},
    }


def test_sizes_are_summarized() -> None:
    found = summary("a train", "a val", "b test", "b train")
    assert found["width"] == {"min": 10, "median": 25, "max": 40}
    assert found["height"] == {"min": 5, "median": 5, "max": 5}


def test_conversions_and_ignored_files_are_counted() -> None:
    found = summary(
        "a train", "b train", conversions=[("grey to RGB",), ("grey to RGB",)], ignored={"x": 3}
    )
    assert found["conversions"] == {"grey to RGB": 2}
    assert found["ignored"] == {"x": 3}


def test_images_with_another_colour_profile_give_one_warning() -> None:
    names = [(READ_AS_SRGB,), (READ_AS_SRGB, "CMYK to RGB"), (), ()]
    found = summary("a train", "a val", "b train", "b test", conversions=names)
    (line,) = report.warnings(found)
    assert line.startswith("2 images have a colour profile other than sRGB: thaw applies no prof")


def test_copies_and_leaks_are_counted_and_named() -> None:
    found = summary("a train", "a train", "a val", "b train", "b test", groups="11122")
    assert (found["duplicate_groups"], found["copies"]) == (2, 3)
    assert found["duplicates"] == [["0.png", "1.png", "2.png"], ["3.png", "4.png"]]
    assert found["images_in_two_splits"] == 2


def test_a_long_list_is_shortened_but_its_count_is_complete() -> None:
    groups = [str(number // 2) for number in range(100)]
    labels = [f"{'ab'[number % 2]} train" for number in range(100)]
    found = report.summarize(Manifest(rows(*labels), ""), groups, [()] * 100, {})
    assert found["duplicate_groups"] == 50
    assert len(found["duplicates"]) == 20


def test_the_report_can_be_written_as_json() -> None:
    found = summary("a train", "b val", groups="12", ignored={"x": 1}, near="11")
    assert json.loads(json.dumps(found)) == found


def test_near_duplicates_are_counted_without_copies() -> None:
    splits = ("a train", "a train", "a train", "b train", "b train", "b test")
    found = summary(*splits, groups="112345", near="111444")["near_duplicates"]
    assert (found["groups"], found["images"]) == (2, 6)
    assert found["largest"] == ["0.png", "1.png", "2.png"]
    assert found["largest_images"] == 3
    assert found["label_conflict_groups"] == 0
    assert found["images_in_two_splits"] == 1
    copies = summary(*splits, groups="111223", near="111223")["near_duplicates"]
    assert (copies["groups"], copies["images"], copies["largest"]) == (0, 0, [])
    assert summary(*splits)["near_duplicates"] is None


# Warnings


def test_data_without_faults_gives_no_warning() -> None:
    assert report.warnings(summary("a train", "a val", "b train", "b test")) == []


def test_images_that_were_dropped_because_of_their_labels_give_a_warning_and_are_listed() -> None:
    dropped = [["x.png (a)", "y.png (b)"], ["v.png (a)", "w.png (b)", "z.png (b)"]]
    found = summary("a train", "b train", dropped=dropped)
    assert found["dropped_conflicts"] == dropped
    (line,) = report.warnings(found)
    assert line.startswith("5 images are left out")
    assert "x.png (a), y.png (b)" in line


@pytest.mark.parametrize(("copies", "warned"), [(30, True), (10, False)])
def test_many_copies_give_a_warning(copies: int, warned: bool) -> None:
    found = Manifest(rows(*["a train", "b train"] * 50), "")
    groups = ["same" if number < copies + 1 else str(number) for number in range(100)]
    lines = report.warnings(report.summarize(found, groups, [()] * 100, {}))
    assert [line.startswith("30 of 100 images are copies of others") for line in lines] == [
        True
    ] * warned


def test_images_in_two_splits_give_a_warning() -> None:
    (line,) = report.warnings(summary("a train", "a val", "b train", "b test", groups="1123"))
    assert line.startswith("1 validation or test image is")


def test_unbalanced_classes_give_a_warning() -> None:
    assert report.warnings(summary("a train", *["b train"] * 10, groups="abcdefghijk")) == []
    (line,) = report.warnings(summary("a train", *["b train"] * 11, groups="abcdefghijkl"))
    assert "the largest class has 11 images, the smallest 1" in line


def test_near_duplicates_with_different_labels_give_a_warning_with_their_paths() -> None:
    near = summary("a train", "b train", "b train", groups="123", near="113")
    (line,) = report.warnings(near)
    assert line.startswith("1 set of near-duplicates has different labels")
    assert "0.png (a), 1.png (b)" in line


def test_identical_images_give_no_warning_about_near_duplicates() -> None:
    assert report.warnings(summary("a train", "a train", "b train", groups="112", near="112")) == []


def test_near_duplicates_in_two_given_splits_give_a_warning() -> None:
    splits = ("a train", "a val", "b train", "b test")
    (line,) = report.warnings(summary(*splits, groups="1234", near="1134"))
    assert line.startswith("1 validation or test image has a near-duplicate")
    assert report.warnings(summary(*splits, groups="1234", near="1234")) == []


@pytest.mark.parametrize(("images", "warned"), [(150, True), (300, False)])
def test_a_large_group_of_near_duplicates_gives_a_warning(images: int, warned: bool) -> None:
    found = Manifest(rows(*["a train", "b train"] * (images // 2)), "")
    groups = [str(number) for number in range(images)]
    near = ["near" if number < 50 and number % 2 else groups[number] for number in range(images)]
    lines = report.warnings(report.summarize(found, groups, [()] * images, {}, near))
    assert [line.startswith("25 images form one group of near-duplicates") for line in lines] == [
        True
    ] * warned


# The figure


def drawn(folder: Path, labels: list[str], each: int = 2) -> Image.Image:
    """Return the figure of ``each`` training images per class."""
    generator = np.random.default_rng(0)
    with PackWriter(folder, CONFIG) as writer:
        for _ in range(each * len(labels)):
            writer.add(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    names = [label for label in labels for _ in range(each)]
    content = [Row(i, f"{i}.png", "", name, "train", 8, 8) for i, name in enumerate(names)]
    manifest.write(content, folder)
    path = folder / "samples.png"
    report.draw(manifest.read(folder), PackedStore(folder), path)
    return Image.open(path)


def test_the_figure_has_a_row_per_class(tmp_path: Path) -> None:
    heights = {}
    for count in (2, 6):
        (tmp_path / str(count)).mkdir()
        picture = drawn(tmp_path / str(count), [f"class {number}" for number in range(count)])
        heights[count] = picture.height
        assert np.asarray(picture.convert("L")).std() > 10
    assert heights[6] > 2 * heights[2]


@pytest.mark.slow
def test_the_figure_of_many_classes_has_a_limited_height(tmp_path: Path) -> None:
    assert drawn(tmp_path, [f"{number:03d}" for number in range(40)], each=1).height < 2500


def test_a_class_without_training_images_is_drawn_empty(tmp_path: Path) -> None:
    drawn(tmp_path, ["a", "b"])
    found = manifest.read(tmp_path)
    no_b = [row for row in found.rows if row.label == "a"]
    no_b.append(Row(3, "3.png", "", "b", "val", 8, 8))
    report.draw(Manifest(no_b, ""), PackedStore(tmp_path), tmp_path / "again.png")
    assert (tmp_path / "again.png").exists()


@pytest.mark.filterwarnings("ignore:Glyph")  # the font lacks the letter: matplotlib draws a box
@pytest.mark.parametrize(
    "name", ["$_$", r"$\frac$", "5$ to 6$", "_x^y_", "two\nlines", "🦊 日本", "{"]
)
def test_any_class_name_can_be_drawn(tmp_path: Path, name: str) -> None:
    assert drawn(tmp_path, [name, "other"]).width > 100
