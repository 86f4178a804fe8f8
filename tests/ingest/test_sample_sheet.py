from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from thaw.ingest.sample_sheet import draw_sheet

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def plain(colour: str, height: int, width: int) -> NDArray[np.uint8]:
    """Return an image (height, width, 3) of one colour."""
    return np.full((height, width, 3), COLOURS[colour], dtype=np.uint8)


def area(path: Path, colour: str) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the pixels of a colour, all of which have it."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    rows, columns = (pixels == COLOURS[colour]).all(axis=2).nonzero()
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    assert len(rows) == (box[2] - box[0]) * (box[3] - box[1])
    return box


def test_images_keep_their_shape_side_by_side_below_the_name_of_their_row(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    images = [plain("red", 30, 40), plain("green", 400, 300)]
    draw_sheet("title", [("first", images), ("second", [plain("blue", 5, 50)])], path)
    red, green, blue = (area(path, colour) for colour in COLOURS)
    for box, ratio in ((red, 4 / 3), (green, 3 / 4), (blue, 10)):
        width, height = box[2] - box[0], box[3] - box[1]
        assert abs(width - ratio * height) < 1 + ratio
    assert red[1:4:2] == green[1:4:2]  # the same top and bottom
    assert red[2] < green[0]
    assert blue[0] == red[0]
    assert blue[1] > red[3]


def test_a_row_without_images_and_a_long_name_take_their_place(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    draw_sheet("title", [("name " * 100, []), ("second", [plain("red", 9, 9)])], path)
    shown = Image.open(path)
    assert area(path, "red")[3] < shown.height
    draw_sheet("title", [("second", [plain("red", 9, 9)])], path)
    assert Image.open(path).height == shown.height - 100
    assert Image.open(path).width == shown.width
