from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests import settings
from tests.ingest.images import read_images, save
from thaw.ingest.csv_source import list_csv
from thaw.ingest.duplicates import difference_hash
from thaw.ingest.folder_source import list_folder
from thaw.ingest.listing import BadFile, Listing, Sample
from thaw.ingest.reading import ImageRecord, ReadImage

if TYPE_CHECKING:
    from thaw.config.prepare_section import Prepare

CONFIG = settings.prepare(
    val_fraction=0.2, test_fraction=0.2, short_side=16, encoding="raw", max_megapixels=1.0
)


def images(listing: Listing, config: Prepare = CONFIG) -> list[ReadImage]:
    """Read a listing that has no unusable image."""
    found = read_images(listing, config)
    assert not [item.reason for item in found if isinstance(item, BadFile)]
    return [item for item in found if isinstance(item, ReadImage)]


def records(listing: Listing) -> list[ImageRecord]:
    return [image.record for image in images(listing)]


def problems(listing: Listing) -> list[str]:
    return [
        item.line(listing.root)
        for item in read_images(listing, CONFIG)
        if isinstance(item, BadFile)
    ]


def test_a_record_holds_the_digest_of_the_file_and_the_original_size(tmp_path: Path) -> None:
    path = save(tmp_path / "cat" / "1.png", size=40)
    (image,) = images(list_folder(tmp_path))
    record = image.record
    assert record.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (record.width, record.height) == (40, 40)
    assert image.pixels.shape == (16, 16, 3)


def test_images_with_equal_pixels_are_one_group_in_any_format(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/copy.png", "dog/same.bmp"):
        save(tmp_path / name)
    save(tmp_path / "dog" / "other.png", seed=1)
    png, copy, other, bmp = records(list_folder(tmp_path))
    assert png.group == copy.group == bmp.group != other.group
    assert png.digest == copy.digest != bmp.digest


def test_equal_bytes_of_another_shape_are_another_group(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for shape in ((4, 9), (6, 6)):
        Image.new("RGB", shape, "red").save(tmp_path / "cat" / f"{shape[0]}.png")
    first, second = records(list_folder(tmp_path))
    assert first.group != second.group


@pytest.mark.parametrize("bits", [0, 4])
def test_a_hash_is_computed_only_where_near_duplicates_are_searched_for(
    tmp_path: Path, bits: int
) -> None:
    save(tmp_path / "cat" / "1.png")
    config = settings.prepare(short_side=16, near_duplicates=bits)
    (image,) = images(list_folder(tmp_path), config)
    assert image.record.hash == (difference_hash(image.pixels) if bits else None)


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
    assert lines[2].endswith(": shrink the image, or raise prepare.max_megapixels")
    assert sum(isinstance(item, ReadImage) for item in read_images(found, CONFIG)) == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text("path,label\ngone.png,a\n")
    assert problems(list_csv(tmp_path / "images.csv", tmp_path)) == [
        f"{tmp_path / 'gone.png'}: No such file or directory"
    ]


def test_a_file_that_is_spelled_in_another_way_is_found(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png")
    (tmp_path / "images.csv").write_text("path,label\ncat\\1.png,a\n")
    (line,) = problems(list_csv(tmp_path / "images.csv", tmp_path))
    assert line.endswith(
        "1.png: No such file or directory: it exists if it is written with / in place of \\"
    )


def test_a_link_out_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "secret.png")
    root = tmp_path / "raw"
    save(root / "cat" / "1.png")
    (root / "cat" / "2.png").symlink_to(tmp_path / "secret.png")
    (line,) = problems(list_folder(root))
    assert line.startswith(
        f"{root / 'cat' / '2.png'}: is outside the data folder {root}, by a link;"
    )


def test_a_link_to_nowhere_out_of_the_data_folder_is_named_as_what_it_is(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    save(root / "cat" / "1.png")
    (root / "cat" / "2.png").symlink_to(tmp_path / "gone.png")
    assert problems(list_folder(root)) == [
        f"{root / 'cat' / '2.png'}: a link to {tmp_path / 'gone.png'}, which does not exist"
    ]


def test_a_class_folder_that_is_a_link_out_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "secret" / "1.png")
    root = tmp_path / "raw"
    save(root / "cat" / "1.png")
    (root / "dog").symlink_to(tmp_path / "secret")
    (line,) = problems(list_folder(root))
    assert "is outside the data folder" in line


def test_a_link_within_the_data_folder_is_followed(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png")
    (tmp_path / "cat" / "2.png").symlink_to("1.png")
    first, second = records(list_folder(tmp_path))
    assert first.digest == second.digest


def test_the_data_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    save(tmp_path / "disk" / "cat" / "1.png")
    (tmp_path / "raw").symlink_to(tmp_path / "disk")
    assert len(records(list_folder(tmp_path / "raw"))) == 1


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
    if sys.version_info < (3, 13):  # later versions report the words of the system
        assert line == f"{link}: a link to itself"


def test_an_elongated_image_is_a_problem(
    tmp_path: Path,
) -> None:
    save(tmp_path / "cat" / "good.png")
    for width, height in ((1, 20_000), (900_000, 1)):
        Image.new("L", (width, height)).save(tmp_path / "cat" / f"{width}.png")
    lines = problems(list_folder(tmp_path))
    assert [line.split(":")[0].split("/")[-1] for line in lines] == ["1.png", "900000.png"]
    for line, shape in zip(lines, ("1 x 20000", "900000 x 1"), strict=True):
        assert f"{shape} pixels: one side is more than 100 times the other" in line


@pytest.mark.slow
def test_an_image_too_long_for_a_jpeg_is_a_problem_where_images_are_packed_as_jpeg(
    tmp_path: Path,
) -> None:
    (tmp_path / "cat").mkdir()
    Image.new("L", (65_501, 700)).save(tmp_path / "cat" / "long.png")
    large = {"short_side": 700, "max_megapixels": 100.0}
    as_jpeg = settings.prepare(encoding="jpeg", **large)
    (problem,) = read_images(list_folder(tmp_path), as_jpeg)
    assert isinstance(problem, BadFile)
    assert (
        "65501 x 700 pixels at prepare.short_side, and a JPEG has at most 65500" in problem.reason
    )
    assert len(images(list_folder(tmp_path), settings.prepare(encoding="raw", **large))) == 1


def test_an_unexpected_error_is_raised_and_not_reported_as_a_problem_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "cat" / "1.png")

    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr("thaw.ingest.reading.decode", failing)
    with pytest.raises(RuntimeError, match="something else"):
        problems(list_folder(tmp_path))


@pytest.mark.parametrize("path", ["/etc/hostname", "../secret.png", "cat/../../secret.png"])
def test_a_row_with_a_path_outside_the_data_folder_is_refused(tmp_path: Path, path: str) -> None:
    save(tmp_path / "secret.png")
    save(tmp_path / "raw" / "cat" / "1.png")
    (tmp_path / "images.csv").write_text(f"path,label\n{path},a\n")
    (line,) = problems(list_csv(tmp_path / "images.csv", tmp_path / "raw"))
    assert "is outside the data folder" in line
    assert "data.root must be a folder that contains all images of the CSV file" in line
    assert "(if the file has both kinds, make all absolute)" in line


@pytest.mark.parametrize("name", ["a\0b.png", "a" * 300, "cat"])
def test_a_row_whose_path_is_not_a_file_is_a_problem(tmp_path: Path, name: str) -> None:
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
