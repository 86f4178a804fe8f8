"""Limits on the size of the arrays that are made from one image, whatever its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ELONGATED = 100  # longer side over shorter side; images above it are refused
MOST_PIXELS = 2**22  # pixels that are enlarged at once; larger images are resized in parts
STRIP_PIXELS = 2**20  # pixels that are turned and converted at once


def shape_problem(width: int, height: int) -> str | None:
    """Return the reason to refuse an image of this shape; None if it is accepted.

    A model receives the square in the middle. Above the limit, that is less than 1 % of the image.
    The packed image, whose shorter side is ``short_side``, would be a hundred times as large as a
    square one.
    """
    if max(width, height) <= MOST_ELONGATED * min(width, height):
        return None
    return (
        f"{width} x {height} pixels: one side is more than {MOST_ELONGATED} times the other, and "
        "a model would see less than 1 % of the image: crop it"
    )


def strips(width: int, height: int, pixels: int = STRIP_PIXELS) -> Iterator[tuple[int, int]]:
    """Yield the first row and the last row (exclusive) of strips of at most ``pixels``."""
    step = max(1, pixels // width)
    for top in range(0, height, step):
        yield top, min(height, top + step)
