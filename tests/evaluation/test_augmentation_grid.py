from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests import settings
from tests.evaluation.test_plots import pixels
from thaw.data.loading import ImageSource
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import PackedStore
from thaw.data.preprocessing import Preprocessing
from thaw.evaluation.augmentation_grid import draw_augmented

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.config.data_sections import FixedAugment

COLOURS = [(250, 20, 30), (20, 250, 30), (10, 20, 250), (240, 240, 10)]


def source(
    folder: Path, augmentation: FixedAugment, count: int = 20, image_size: int = 32
) -> ImageSource:
    """Images of one colour each; ids that follow one another have different ones."""
    with PackWriter(folder, settings.prepare(encoding="raw")) as store:
        for number in range(count):
            store.add(np.full((image_size, image_size, 3), COLOURS[number % 4], np.uint8))
    preprocessing = Preprocessing(
        short_side=256,
        max_megapixels=1.0,
        image_size=image_size,
        crop_pct=1.0,
        interpolation="bilinear",
        mean=(0.5, 0.4, 0.3),
        std=(0.1, 0.2, 0.25),
    )
    ids = np.arange(count)
    return ImageSource(PackedStore(folder), ids, ids % 4, preprocessing, 0, augmentation)


def tile(path: Path, side: int, row: int, column: int) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        found = np.asarray(picture)
    top, left = 22 + row * (side + 4), 4 + column * (side + 4)
    return found[top : top + side, left : left + side]


@pytest.mark.parametrize(("image_size", "side"), [(8, 96), (32, 96), (128, 128)])
def test_the_first_column_shows_images_as_they_are(
    tmp_path: Path, image_size: int, side: int
) -> None:
    draw_augmented(
        source(tmp_path, settings.augment(hue=0.5), 4, image_size), tmp_path / "seen.png"
    )
    pixels(tmp_path / "seen.png")
    for row, colour in enumerate(COLOURS):
        assert (tile(tmp_path / "seen.png", side, row, 0) == colour).all()
        changed = [tile(tmp_path / "seen.png", side, row, column)[0, 0] for column in range(8)]
        assert len({tuple(one.tolist()) for one in changed}) > 5


@pytest.mark.slow
def test_mixed_images_are_shown_mixed(tmp_path: Path) -> None:
    draw_augmented(source(tmp_path, settings.augment(cutmix=1.0)), tmp_path / "seen.png")
    several = [
        len(np.unique(tile(tmp_path / "seen.png", 96, row, column).reshape(-1, 3), axis=0))
        for row in range(8)
        for column in range(1, 8)
    ]
    assert set(several) == {1, 2}


@pytest.mark.parametrize("count", [1, 3, 100])
def test_the_picture_has_a_row_for_each_of_up_to_eight_images(tmp_path: Path, count: int) -> None:
    draw_augmented(source(tmp_path, settings.augment(noise=0.1), count), tmp_path / "seen.png")
    with Image.open(tmp_path / "seen.png") as picture:
        assert picture.size == (8 * 100 + 4, min(count, 8) * 100 + 22)
