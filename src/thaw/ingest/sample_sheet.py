"""A picture with a row of sample images for each class.

All images are in one coordinate system in inches: matplotlib needs several times as long for a
coordinate system of its own for each image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.system.pictures import write_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_HEIGHT = 1.0  # of a row with its name, in inches, as all lengths here
_IMAGE = 0.78  # height of an image
_WIDEST = 1.3  # width of an image
_GAP = 0.1  # between images, and at the edges
_TITLE = 0.3
_LEAST_WIDTH = 6.0  # of the picture


def draw_sheet(
    title: str, rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], path: Path
) -> None:
    """Draw ``rows``, each with a name and images (H, W, 3), below a title."""
    from matplotlib.figure import Figure

    sizes = [[_size(image) for image in images] for _, images in rows]
    longest = max((sum(width + _GAP for width, _ in row) for row in sizes), default=0.0)
    width, height = max(_LEAST_WIDTH, longest + _GAP), _TITLE + _HEIGHT * len(rows) + _GAP
    figure = Figure(figsize=(width, height))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.axis("off")
    axis.text(width / 2, _GAP, title, ha="center", va="top", fontsize=11, parse_math=False)
    for number, (name, images) in enumerate(rows):
        left, bottom = _GAP, _TITLE + _HEIGHT * (number + 1)
        place = (left, bottom - _IMAGE - 0.05)
        axis.text(*place, name, va="bottom", fontsize=9, parse_math=False)
        for image, (wide, high) in zip(images, sizes[number], strict=True):
            axis.imshow(image, extent=(left, left + wide, bottom, bottom - high), aspect="auto")
            left += wide + _GAP
    axis.set(xlim=(0, width), ylim=(height, 0))
    write_figure(figure, path, dpi=100)


def _size(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Return width and height of an image on the sheet."""
    height, width = image.shape[:2]
    scale = min(_IMAGE / height, _WIDEST / width)
    return width * scale, height * scale
