from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tests import settings
from tests.data.deep_pictures import png_16, tiff
from tests.ingest.images import read_images, save
from thaw.ingest import value_ranges
from thaw.ingest.folder_source import list_folder
from thaw.ingest.reading import ReadImage

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.ingest.reading import ImageRecord


def records(root: Path, pixel_range: Any = "type") -> list[ImageRecord]:
    config = settings.prepare(range=pixel_range)
    found = read_images(list_folder(root), config)
    return [item.record for item in found if isinstance(item, ReadImage)]


def folder(root: Path) -> Path:
    """Write an image of 8 bits, two of 12 bits in 16 and one of 16 bits."""
    save(root / "a" / "8.png")
    for number, high in enumerate((4000, 4095)):
        (root / "a" / f"12-{number}.png").write_bytes(png_16(np.array([[100, high]])))
    (root / "a" / "16.tif").write_bytes(tiff(np.array([[0, 60_000]], "u2")))
    return root


def test_images_that_use_less_than_a_quarter_of_the_range_are_counted_and_named(
    tmp_path: Path,
) -> None:
    assert value_ranges.summarize(records(folder(tmp_path))) == {
        "images": 3,
        "low": 0.0,
        "high": 60_000.0,
        "slivers": 2,
        "examples": [
            "a/12-0.png (100 to 4000 of 0 to 65535)",
            "a/12-1.png (100 to 4095 of 0 to 65535)",
        ],
    }


def test_the_warning_names_the_parameter_and_the_range_of_the_data(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "a" / "16.tif").unlink()
    (line,) = value_ranges.warnings(value_ranges.summarize(records(tmp_path)))
    assert line.startswith("2 of 2 images with more than 8 bits per sample use less than a quarter")
    assert "for example a/12-0.png (100 to 4000 of 0 to 65535); a/12-1.png" in line
    assert "all such images together use 100 to 4095; set prepare.range to the values" in line
    assert "that the data can have, perhaps [0, 4095], or to image" in line


def test_a_range_with_negative_values_is_proposed_as_it_is() -> None:
    summary = {"images": 1, "low": -1000.0, "high": 3000.0, "slivers": 1, "examples": ["x"]}
    (line,) = value_ranges.warnings(summary)
    assert "perhaps [-1000, 3000]" in line


def test_the_range_of_the_data_or_of_each_image_gives_no_warning(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "a" / "16.tif").unlink()
    for pixel_range in ([0, 4095], "image"):
        summary = value_ranges.summarize(records(tmp_path, pixel_range))
        assert summary is not None
        assert value_ranges.warnings(summary) == []


def test_a_set_of_8_bit_images_has_no_entry(tmp_path: Path) -> None:
    save(tmp_path / "a" / "8.png")
    summary = value_ranges.summarize(records(tmp_path))
    assert summary is None
    assert value_ranges.warnings(summary) == []


def test_a_sliver_far_from_zero_is_proposed_as_it_is() -> None:
    summary = {"images": 1, "low": 40_000, "high": 41_000, "slivers": 1, "examples": ["x"]}
    (line,) = value_ranges.warnings(summary)
    assert "perhaps [40000, 41000]" in line
