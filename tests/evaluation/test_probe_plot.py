from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from thaw.evaluation.probe_plot import draw

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Probe(NamedTuple):
    """The result of a linear probe."""

    blocks: tuple[int, ...]
    accuracy: float
    error: float


SINGLE = [Probe((1,), 0.4, 0.02), Probe((2,), 0.6, 0.01), Probe((3,), 0.8, 0.03)]
JOINED = [Probe((2, 3), 0.85, 0.02), Probe((1, 2, 3), 0.9, 0.02)]


def test_the_plot_is_written_to_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "probe.png"
    draw(SINGLE, JOINED, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert float(np.asarray(image.convert("L")).std()) > 1


def test_the_plot_shows_each_block_and_each_block_with_all_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    draw(SINGLE, JOINED, tmp_path / "probe.png")
    (axis,) = figures[0].axes
    alone, together = (container.lines[0] for container in axis.containers[:2])  # type: ignore[attr-defined]
    assert alone.get_xydata().tolist() == [[1, 0.4], [2, 0.6], [3, 0.8]]
    assert together.get_xydata().tolist() == [[1, 0.9], [2, 0.85], [3, 0.8]]
