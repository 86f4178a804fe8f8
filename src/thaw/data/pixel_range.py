"""The range of sample values that becomes 0..255, for images of more than 8 bits per sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from thaw.data.decode_error import DecodeError
from thaw.literals import RangeRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

# - type: the range of the sample type: 0..65535 for samples of 16 and 32 bits.
# - image: the smallest to the largest value of each image.
# - a pair: these values, for all images.
# - clip: as type, but values outside of 0..65535 are cut off. Models of format 3 and older decode
#   by this rule; ``params.yaml`` does not accept it.
PixelRange = Literal[RangeRule, "clip"] | tuple[float, float]

WHITE = 65535
_SLIVER = 0.25  # share of the range; an image that uses less keeps at most 64 of 256 levels


@dataclass(frozen=True)
class UsedRange:
    """The values ``low`` to ``high`` of an image, where ``start`` to ``end`` becomes 0..255."""

    low: float
    high: float
    start: float
    end: float

    @property
    def is_sliver(self) -> bool:
        """Return whether the image uses less than a quarter of the range."""
        return self.high - self.low < _SLIVER * (self.end - self.start)

    def to_8_bits(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return ``values`` of any shape as 0..255.

        The range 0..65535 is divided by 257 and rounded down, any other one is rounded.
        """
        if (self.start, self.end) == (0, WHITE) and values.dtype.kind in "iu":
            return (values.astype(np.int64).clip(0, WHITE) // 257).astype(np.uint8)
        span = self.end - self.start or 1.0  # an image of one value becomes black
        scaled = (values.astype(np.float64) - self.start) / span * 255
        return np.rint(scaled).astype(np.uint8)


def used_range(
    pixel_range: PixelRange, low: float, high: float, largest: float = WHITE
) -> UsedRange:
    """Return the range for an image with values from ``low`` to ``high``.

    ``largest`` is the largest value of the sample type.

    Raises:
        DecodeError: the image has values outside of the range.
    """
    if pixel_range == "clip":
        return UsedRange(low, high, 0, WHITE)
    if pixel_range == "image":
        return UsedRange(low, high, low, high)
    if pixel_range == "type":
        start, end = 0.0, largest
        allowed = "0 to 65535, the range for samples of 16 and 32 bits"
        remedy, setting = "", "set prepare.range to image or to the [low, high] of the data"
    else:
        start, end = pixel_range
        allowed = f"the range {value_text(start)} to {value_text(end)}"
        remedy, setting = "correct the image", "widen prepare.range"
    if low < start or high > end:
        values = f"values from {value_text(low)} to {value_text(high)}"
        raise DecodeError(f"{values} are outside of {allowed}", remedy, setting)
    return UsedRange(low, high, start, end)


def value_text(value: float) -> str:
    """Return a sample value for a message."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"
