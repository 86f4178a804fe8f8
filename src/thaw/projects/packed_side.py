"""The short side at which the images of a new project are packed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from thaw.stages.pack_side_check import short_side_that_suffices
from thaw.system.network_sides import NetworkSides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.config.params import Params
    from thaw.data.pack_resolution import PixelSize
    from thaw.projects.image_survey import Survey

# Sides of the input of the default backbone. To ask the backbone would take seconds.
DEFAULT_SIDES = NetworkSides(224, 352)
_MOST_BYTES = 8e9  # of pixels; a larger pack has the default short side


class PackedSide(NamedTuple):
    """A value for ``prepare.short_side``, and a sentence about it for the user.

    The sentence is empty where the default is enough.
    """

    pixels: int
    note: str = ""


def packed_side(params: Params, found: Survey) -> PackedSide:
    """Return the short side that all compared inputs need, or the default if that is too large.

    The sizes of the images are those of the sample that the survey has read.
    """
    default = params.prepare.short_side
    needed = short_side_that_suffices(params, found.sizes, DEFAULT_SIDES)
    if needed == default:
        return PackedSide(default)
    size = sum(found.counts.values()) * _mean_bytes(found.sizes, needed)
    room = f"about {size / 1e9:.1f} GB" if size >= 1e8 else f"about {size / 1e6:.0f} MB"
    if size > _MOST_BYTES:
        return PackedSide(
            default,
            f"prepare.short_side stays at {default}. With {needed}, the largest inputs that are "
            f"compared would show more detail, but data/prepared would take {room}: set it in "
            "params.yaml if you have the room",
        )
    return PackedSide(
        needed,
        f"prepare.short_side is {needed} in params.yaml (default {default}): the stages compare "
        f"larger inputs of the network for these images. data/prepared will take {room}",
    )


def _mean_bytes(sizes: Sequence[PixelSize], short_side: int) -> float:
    """Return the mean number of bytes of a packed image."""
    shares = [min(1.0, short_side / max(1, min(size))) for size in sizes]
    pixels = [
        size.width * size.height * share**2 for size, share in zip(sizes, shares, strict=True)
    ]
    return 3 * sum(pixels) / len(pixels)
