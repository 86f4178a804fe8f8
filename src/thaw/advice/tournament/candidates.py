"""Candidates of the tournament: an input of the network, the blocks that a head reads, its fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.data.preprocessing import Preprocessing
    from thaw.literals import Framing, LinearFit

_MULTIPLE = 32  # pixels; networks halve their input about five times
_SMALLEST = 64
_ENLARGED = 2  # times the median image: larger inputs show nothing more
# Sides as shares of the size that the weights were made for: 224, 288 and 352 of 224 pixels.
_STEPS = (1.0, 9 / 7, 11 / 7)


@dataclass(frozen=True)
class Input:
    """The way from an image to the square input; see ``Preprocessing``."""

    framing: Framing
    image_size: int
    crop_pct: float

    @property
    def name(self) -> str:
        """Return a short description."""
        share = f" {self.crop_pct:g}" if self.crop_pct < 1.0 else ""
        return f"{self.framing}{share} {self.image_size}"

    @classmethod
    def read_by(cls, preprocessing: Preprocessing) -> Input:
        """Return the input of ``preprocessing``."""
        return cls(preprocessing.framing, preprocessing.image_size, preprocessing.crop_pct)

    def of(self, preprocessing: Preprocessing) -> Preprocessing:
        """Return ``preprocessing`` with this input."""
        return preprocessing.model_copy(
            update={
                "framing": self.framing,
                "image_size": self.image_size,
                "crop_pct": self.crop_pct,
            }
        )


@dataclass(frozen=True)
class Candidate:
    """A head of the kind ``fit`` on the pooled outputs of ``blocks`` (numbers from 1)."""

    input: Input
    blocks: tuple[int, ...]
    fit: LinearFit

    @property
    def blocks_name(self) -> str:
        """Return the numbers of the blocks, a range as "6 to 9"."""
        first, last = self.blocks[0], self.blocks[-1]
        if len(self.blocks) == 1:
            return str(last)
        if len(self.blocks) == last - first + 1:
            return f"{first} to {last}"
        return ", ".join(map(str, self.blocks))


def framings(image_size: int, crop_pct: float, *, all_square: bool) -> list[Input]:
    """Return the ways to make a square of ``image_size`` pixels.

    The first is a crop of ``crop_pct``. Square images have no other framing than a crop.
    """
    whole = Input("crop", image_size, 1.0)
    found = [Input("crop", image_size, crop_pct)]
    if all_square:
        return found if crop_pct == 1.0 else [*found, whole]
    return [*found, Input("pad", image_size, 1.0), Input("squish", image_size, 1.0)]


def sizes(native: int, side: int) -> list[int]:
    """Return sides of the input to compare, in pixels, ascending.

    ``native`` is the side that the weights were made for, ``side`` the median longer side of the
    images. Small images begin at their own size.
    """
    most = max(_SMALLEST, _rounded(_ENLARGED * side))
    ladder = [_rounded(native * step) for step in _STEPS]
    if side < native:
        own = max(_SMALLEST, _rounded(side))
        between = _rounded((own + native) / 2)
        ladder = [own, between, *ladder]
    return sorted({min(size, most) for size in ladder})


def block_sets(count: int) -> list[tuple[int, ...]]:
    """Return the sets of blocks that a head may read: the last alone, the last 2, 3, ... all.

    Of a network with many blocks, every second number or less is left out.
    """
    lengths = _spread(count)
    joined = [tuple(range(count - length + 1, count + 1)) for length in lengths]
    single = [(count - length + 1,) for length in lengths if 1 < length < count]
    return [(count,), *(blocks for blocks in joined if len(blocks) > 1), *single]


def _spread(count: int) -> Sequence[int]:
    """Return numbers from 1 to ``count`` whose steps grow: 1, 2, 3, 4, 6, 8, 12, ..."""
    found = [1]
    while found[-1] < count:
        step = max(1, found[-1] // 4 + (found[-1] >= 4))
        found.append(min(count, found[-1] + step))
    return found


def _rounded(side: float) -> int:
    return max(_MULTIPLE, round(side / _MULTIPLE) * _MULTIPLE)
