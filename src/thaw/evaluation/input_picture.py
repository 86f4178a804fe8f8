"""Draw what the network sees of an image: the original with a frame beside the network's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from thaw.system.pictures import write_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.data.manifest import Row
    from thaw.data.packed_store import PackedStore
    from thaw.data.preprocessing import Preprocessing

INPUTS = "inputs.png"
_IMAGES, _COLUMNS = 9, 3
_CELL = 190  # pixels of the square in which an image is drawn
_GAP, _LINE = 10, 18
_FRAME = "#e6194b"
_LEGEND = "left: an image, with a frame around what the network sees; right: what it gets"


def draw(rows: Sequence[Row], store: PackedStore, preprocessing: Preprocessing, path: Path) -> None:
    """Write a PNG with some of the images in ``rows``, among them the most unusual shapes."""
    chosen = [rows[place] for place in unusual_places([(row.height, row.width) for row in rows])]
    columns = min(_COLUMNS, len(chosen))
    width, height = 2 * _CELL + 3 * _GAP, _CELL + _GAP + 2 * _LINE
    top = _GAP + 2 * _LINE
    lines = -(-len(chosen) // columns)
    picture = Image.new("RGB", (columns * width + _GAP, top + lines * height), "gainsboro")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    pen.text((_GAP, _GAP), f"Input of the network: {title(preprocessing)}", "black", font)
    pen.text((_GAP, _GAP + _LINE), _LEGEND, "black", font)
    for number, row in enumerate(chosen):
        corner = (_GAP + number % columns * width, top + number // columns * height)
        _draw_pair(picture, corner, store.read(row.id), preprocessing)
        seen = np.prod(visible_shares(preprocessing, row.height, row.width))
        text = f"{row.width} x {row.height}, {seen:.0%} seen"
        pen.text((corner[0], corner[1] + _CELL + 2), text, "black", font)
    write_png(picture, path)


def unusual_places(sizes: Sequence[tuple[int, int]]) -> list[int]:
    """Return places of up to 9 images: the smallest, the largest, and shapes from tall to wide.

    ``sizes`` are (height, width).
    """
    sides = np.array(sizes, dtype=np.float64)
    by_area = np.argsort(sides.prod(axis=1), kind="stable")
    by_shape = np.argsort(sides[:, 1] / sides[:, 0], kind="stable")
    spread = np.linspace(0, len(sides) - 1, min(len(sides), _IMAGES - 2)).round().astype(np.int64)
    found = dict.fromkeys([*by_shape[spread].tolist(), int(by_area[0]), int(by_area[-1])])
    return [int(place) for place in found]


def visible_shares(preprocessing: Preprocessing, height: int, width: int) -> tuple[float, float]:
    """Return the shares of the height and of the width that the network sees, at most 1."""
    resized = preprocessing.resized_size(height, width)
    high, wide = (min(1.0, preprocessing.image_size / side) for side in resized)
    return high, wide


def title(preprocessing: Preprocessing) -> str:
    """Return a description of the input by the names of its parameters."""
    size, share = preprocessing.image_size, preprocessing.crop_pct
    return f"image_size {size}, crop_pct {share:g}, framing {preprocessing.framing}"


def _draw_pair(
    picture: Image.Image,
    corner: tuple[int, int],
    pixels: NDArray[np.uint8],
    preprocessing: Preprocessing,
) -> None:
    """Draw the packed image with the frame, and its input, into two squares at ``corner``."""
    high, wide = visible_shares(preprocessing, *pixels.shape[:2])
    shown = _fitted(Image.fromarray(pixels))
    left = corner[0] + (_CELL - shown.width) // 2
    top = corner[1] + (_CELL - shown.height) // 2
    picture.paste(shown, (left, top))
    inner_width, inner_height = wide * shown.width, high * shown.height
    x, y = left + (shown.width - inner_width) / 2, top + (shown.height - inner_height) / 2
    frame = (x - 2, y - 2, x + inner_width + 1, y + inner_height + 1)
    ImageDraw.Draw(picture).rectangle(frame, outline=_FRAME, width=2)
    seen = preprocessing.resize([pixels])[0].permute(1, 2, 0).numpy()
    right = (corner[0] + _CELL + _GAP, corner[1])
    picture.paste(_fitted(Image.fromarray(np.ascontiguousarray(seen))), right)


def _fitted(image: Image.Image) -> Image.Image:
    """Return the image with a longer side of ``_CELL`` pixels; small ones show their pixels."""
    scale = _CELL / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
