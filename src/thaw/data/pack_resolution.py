"""Find images that were packed smaller than the input of a network needs them.

``prepare`` stores larger images at ``prepare.short_side``. Where the input is larger, they are
enlarged again, and the detail that the original files have is lost.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    class ImageSize(Protocol):
        """The sides of an image in pixels."""

        @property
        def height(self) -> int:
            """Return the number of rows."""
            ...

        @property
        def width(self) -> int:
            """Return the number of columns."""
            ...


_ROUNDING = 1  # pixels


class PixelSize(NamedTuple):
    """The size of an image in pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class EnlargedImages:
    """Images that were packed smaller than they are and are enlarged to the input.

    ``images`` of ``total`` images are enlarged. With a short side of ``needed`` pixels in the pack,
    none would be.
    """

    images: int
    total: int
    short_side: int
    needed: int

    def warning(self, of_input: str) -> str:
        """Return a message; ``of_input`` describes the input of the network."""
        return (
            f"{self.images} of {self.total} images are stored with a short side of "
            f"{self.short_side} pixels (prepare.short_side) and are enlarged to the input of the "
            f"network ({of_input}): set prepare.short_side to {self.needed} to keep their detail"
        )


def find_enlarged(
    images: Iterable[ImageSize],
    short_side: int,
    resized_size: Callable[[int, int], tuple[int, int]],
) -> EnlargedImages | None:
    """Return how many of the ``images`` are enlarged, None if none is.

    ``short_side`` is that of the pack. ``resized_size`` maps (height, width) of a packed image to
    those before the centre is taken. Images that are smaller than the input themselves do not
    count: no other pack would have more of their detail.
    """
    sizes = Counter((image.height, image.width) for image in images)
    enlarged = needed = 0
    for (height, width), count in sizes.items():
        short = min(height, width)
        if short <= short_side:
            continue
        packed = [max(1, round(side * short_side / short)) for side in (height, width)]
        wanted = resized_size(packed[0], packed[1])
        if all(want <= have + _ROUNDING for want, have in zip(wanted, packed, strict=True)):
            continue
        enlarged += count
        ratios = (want / side for want, side in zip(wanted, (height, width), strict=True))
        needed = max(needed, min(short, math.ceil(short * max(ratios))))
    total = sum(sizes.values())
    return EnlargedImages(enlarged, total, short_side, needed) if enlarged else None
