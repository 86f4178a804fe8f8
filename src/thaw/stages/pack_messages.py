"""Messages about packed images that are smaller than the input of the network needs them."""

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

    from thaw.config.params import Params
    from thaw.data.manifest import Row
    from thaw.data.pack_resolution import EnlargedImages


def lost_detail(params: Params, rows: Sequence[Row]) -> list[str]:
    """Return a warning if the input of the network needs larger images than the packed ones.

    Where the size of the input is ``auto``, that is the largest one that may be compared. Nothing
    is known of it before the check of the model.
    """
    backbone, short_side = params.backbone, params.prepare.short_side
    if backbone.image_size != AUTO:
        side, name = backbone.image_size, f"backbone.image_size {backbone.image_size}"
    elif largest := _largest(params, rows):
        side, name = largest, f"backbone.image_size auto, which compares up to {largest} pixels"
    else:
        return []
    inputs = _inputs(params, side, rows)
    found = [each for each in (_enlarged(rows, short_side, one) for one in inputs) if each]
    if not found:
        return []
    most = max(found, key=lambda each: (each.needed, each.images))
    if backbone.is_fixed:
        name += f", crop_pct {backbone.crop_pct:g}, framing {backbone.framing}"
    return [most.warning(name)]


def _largest(params: Params, rows: Sequence[Row]) -> int | None:
    """Return the largest side that a comparison may try on these images, None if not known.

    Sides depend on the median longer side of an image, here of the original ones: a larger pack
    must not lead to the next warning.
    """
    if params.backbone.weights == "none" or not rows:  # nothing is compared
        return None
    known = recorded(params.backbone.name)
    if known is None:
        return None
    longer = int(np.median([max(row.height, row.width) for row in rows]))
    return max((s for s in sizes(known.native, longer) if s <= known.largest), default=known.native)


def _inputs(params: Params, side: int, rows: Sequence[Row]) -> list[Input]:
    backbone = params.backbone
    if backbone.framing != AUTO:
        return [Input(backbone.framing, side, backbone.crop_pct)]
    all_square = all(row.height == row.width for row in rows)
    return framings(side, backbone.crop_pct, all_square=all_square)


def _enlarged(rows: Sequence[Row], short_side: int, chosen: Input) -> EnlargedImages | None:
    resized = partial(
        resized_size,
        side=chosen.image_size,
        resized=resized_side(chosen.image_size, chosen.crop_pct),
        framing=chosen.framing,
    )
    return find_enlarged(rows, short_side, resized)
