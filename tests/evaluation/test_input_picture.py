from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests import settings
from thaw.data.manifest import Row
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import PackedStore
from thaw.data.preprocessing import Preprocessing
from thaw.evaluation.input_picture import draw, title, unusual_places, visible_shares

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.literals import Framing

RED, BLUE, FRAME = (250, 10, 10), (10, 10, 250), (0xE6, 0x19, 0x4B)
TOP, LEFT, CELL, GAP = 46, 10, 190, 10


def preprocessing(framing: Framing = "crop", crop_pct: float = 1.0) -> Preprocessing:
    return Preprocessing(
        short_side=256,
        max_megapixels=1.0,
        image_size=32,
        crop_pct=crop_pct,
        framing=framing,
        interpolation="bilinear",
        mean=(0.0, 1.0, 0.0),  # borders are green
        std=(0.2, 0.2, 0.2),
    )


def drawn(folder: Path, made: Preprocessing, *images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows = []
    folder.mkdir()
    with PackWriter(folder, settings.prepare(encoding="raw")) as store:
        for number, pixels in enumerate(images):
            store.add(pixels)
            height, width = pixels.shape[:2]
            rows.append(Row(number, f"{number}.png", "", "a", "train", width, height))
    draw(rows, PackedStore(folder), made, folder / "inputs.png")
    with Image.open(folder / "inputs.png") as picture:
        return np.asarray(picture.convert("RGB"))


def striped() -> NDArray[np.uint8]:
    """Return an image of 40 x 120 pixels: red, with a blue square in the centre."""
    pixels = np.full((40, 120, 3), RED, np.uint8)
    pixels[:, 40:80] = BLUE
    return pixels


def colours(cell: NDArray[np.uint8]) -> set[tuple[int, ...]]:
    return {tuple(int(value) for value in pixel) for pixel in cell.reshape(-1, 3)}


def cells(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the squares of the first image and of its input."""
    rows = slice(TOP, TOP + CELL)
    right = LEFT + CELL + GAP
    return picture[rows, LEFT : LEFT + CELL], picture[rows, right : right + CELL]


def test_a_crop_shows_the_centre_alone_and_the_frame_marks_it(tmp_path: Path) -> None:
    image, seen = cells(drawn(tmp_path / "a", preprocessing(), striped()))
    # Interpolation mixes in some of the neighbours at the border.
    np.testing.assert_allclose(seen[:, 8:-8].reshape(-1, 3), np.tile(BLUE, (190 * 174, 1)))
    assert {RED, BLUE, FRAME} <= colours(image)
    framed = np.flatnonzero((image == FRAME).all(axis=2).any(axis=0))
    assert (framed[0], framed[-1]) == pytest.approx((CELL / 3, 2 * CELL / 3), abs=4)


def test_padding_shows_all_of_the_image_between_borders(tmp_path: Path) -> None:
    image, seen = cells(drawn(tmp_path / "a", preprocessing("pad"), striped()))
    assert {RED, BLUE, (0, 255, 0)} <= colours(seen)
    assert tuple(seen[0, 0]) == (0, 255, 0)
    framed = np.flatnonzero((image == FRAME).all(axis=2).any(axis=0))
    assert framed[-1] - framed[0] >= CELL - 4


def test_squishing_shows_all_of_the_image_in_the_square(tmp_path: Path) -> None:
    _, seen = cells(drawn(tmp_path / "a", preprocessing("squish"), striped()))
    assert tuple(seen[0, 0]) == tuple(seen[-1, -1]) == RED
    assert tuple(seen[CELL // 2, CELL // 2]) == BLUE


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_any_number_of_images_of_odd_shapes_is_drawn(count: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    sides = [(int(h), int(w)) for h, w in generator.integers(1, 90, (count, 2))]
    images = [generator.integers(0, 255, (*side, 3), dtype=np.uint8) for side in sides]
    for framing in ("crop", "pad", "squish"):
        picture = drawn(tmp_path / framing, preprocessing(framing), *images)
        assert picture.shape[0] < 1000
        assert picture.shape[1] < 1300


def test_the_smallest_the_largest_and_the_most_unusual_shapes_are_chosen() -> None:
    sizes = [(100, 100 + n) for n in range(50)]
    sizes += [(5, 5), (2000, 2000), (900, 30), (30, 900)]
    found = unusual_places(sizes)
    assert {50, 51, 52, 53} <= set(found)
    assert len(found) == len(set(found)) <= 9


def test_the_visible_shares_follow_from_framing_and_crop() -> None:
    assert visible_shares(preprocessing(), 40, 120) == pytest.approx((1.0, 1 / 3))
    assert visible_shares(preprocessing(crop_pct=0.5), 40, 40) == (0.5, 0.5)
    assert visible_shares(preprocessing("pad"), 40, 120) == (1.0, 1.0)


def test_the_title_names_the_parameters() -> None:
    assert title(preprocessing("pad", 0.875)) == "image_size 32, crop_pct 0.875, framing pad"
