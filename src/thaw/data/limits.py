"""How large the arrays may become that are made of one image, whatever its shape."""

from __future__ import annotations

MOST_ELONGATED = 100  # longer side over shorter side; above it, no image is accepted
MOST_PIXELS = 2**22  # that are enlarged at once; what is larger is done in parts
STRIP_PIXELS = 2**20  # that are turned and converted at once


def shape_problem(width: int, height: int) -> str | None:
    """Return why an image of this shape is refused; None where it is not.

    A model sees the square in the middle. Above the limit that is less than 1 % of the image, and
    the packed image, as wide as ``short_side``, would be a hundred times as large as a square one.
    """
    if max(width, height) <= MOST_ELONGATED * min(width, height):
        return None
    return (
        f"{width} x {height} pixels: one side is more than {MOST_ELONGATED} times the other, and "
        "a model would see less than 1 % of the image: crop it"
    )
