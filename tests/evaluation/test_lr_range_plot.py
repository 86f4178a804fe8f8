from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from thaw.evaluation import lr_range_plot
from thaw.training.lr_range_test import suggest

if TYPE_CHECKING:
    from pathlib import Path


def picture(path: Path, valley: float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rates = [10 ** (-6 + 6 * i / 99) for i in range(100)]
    losses = [1 + 0.1 * (np.log10(rate) - valley) ** 2 for rate in rates]
    lr_range_plot.draw_lr_range(suggest(rates, losses), path)
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_picture_shows_the_curve_and_both_suggestions(tmp_path: Path) -> None:
    drawn = picture(tmp_path / "rates.png", valley=-2)
    assert drawn.shape[0] > 300
    assert drawn.shape[1] > 500
    for colour in ((31, 119, 180), (214, 39, 40), (255, 127, 14)):  # C0, C3, C1
        assert (drawn == colour).all(axis=2).sum() > 100


@pytest.mark.slow
def test_another_curve_is_another_picture(tmp_path: Path) -> None:
    first, second = (picture(tmp_path / f"{valley}.png", valley) for valley in (-2.0, -3.0))
    assert first.shape != second.shape or not np.array_equal(first, second)
