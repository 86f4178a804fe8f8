"""Check that the packed images are large enough for the inputs of the network."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from thaw.advice.tournament.candidates import Input, framings, sizes
from thaw.config.section import AUTO
from thaw.data.framing import resized_side, resized_size
from thaw.data.pack_resolution import find_enlarged
from thaw.system.network_sides import recorded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.config.model_sections import Backbone
    from thaw.config.params import Params
    from thaw.data.pack_resolution import EnlargedImages, ImageSize
    from thaw.system.network_sides import NetworkSides


def lost_detail(params: Params, images: Sequence[ImageSize]) -> list[str]:
    """Return a warning if the input of the network needs larger images than the packed ones.

    Where the size of the input is ``auto``, that is the largest one that may be compared. Nothing
    is known of it before the check of the model.
    """
    backbone = params.backbone
    side = _largest(backbone, images, recorded(backbone.name))
    if side is None:
        return []
    most = _most_enlarged(params, images, side)
    if most is None:
        return []
    name = f"backbone.image_size {backbone.image_size}"
    if backbone.image_size == AUTO:
        name += f", which compares up to {side} pixels"
    if backbone.is_fixed:
        name += f", crop_pct {backbone.crop_pct:g}, framing {backbone.framing}"
    return [most.warning(name)]


def short_side_that_suffices(
    params: Params, images: Sequence[ImageSize], sides: NetworkSides
) -> int:
    """Return the ``prepare.short_side`` from which on no image is enlarged to the input.

    It is that of ``params`` if this suffices. ``sides`` are those of the network.
    """
    side = _largest(params.backbone, images, sides)
    found = None if side is None else _most_enlarged(params, images, side)
    return found.needed if found else params.prepare.short_side


def _largest(
    backbone: Backbone, images: Sequence[ImageSize], known: NetworkSides | None
) -> int | None:
    """Return the side of the input, or the largest that a comparison may try on ``images``.

    None if that is not known. Compared sides depend on the median longer side of an image, here of
    the original ones: a larger pack must not lead to the next warning.
    """
    if backbone.image_size != AUTO:
        return backbone.image_size
    if known is None or backbone.weights == "none" or not images:  # nothing is compared
        return None
    longer = int(np.median([max(image.height, image.width) for image in images]))
    return max((s for s in sizes(known.native, longer) if s <= known.largest), default=known.native)


def _most_enlarged(params: Params, images: Sequence[ImageSize], side: int) -> EnlargedImages | None:
    """Return the images that an input of ``side`` pixels enlarges, in the worst framing for it."""
    short_side = params.prepare.short_side
    inputs = _inputs(params.backbone, side, images)
    found = [each for each in (_enlarged(images, short_side, one) for one in inputs) if each]
    return max(found, key=lambda each: (each.needed, each.images), default=None)


def _inputs(backbone: Backbone, side: int, images: Sequence[ImageSize]) -> list[Input]:
    if backbone.framing != AUTO:
        return [Input(backbone.framing, side, backbone.crop_pct)]
    all_square = all(image.height == image.width for image in images)
    return framings(side, backbone.crop_pct, all_square=all_square)


def _enlarged(images: Sequence[ImageSize], short_side: int, chosen: Input) -> EnlargedImages | None:
    resized = partial(
        resized_size,
        side=chosen.image_size,
        resized=resized_side(chosen.image_size, chosen.crop_pct),
        framing=chosen.framing,
    )
    return find_enlarged(images, short_side, resized)
