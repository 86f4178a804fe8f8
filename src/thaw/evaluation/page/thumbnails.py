"""Images for a page: compressed, and written into the page as data addresses."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGE = "data:image/webp;base64,"
SIDE = 128  # pixels of the longer side
_LOSSLESS_UP_TO = 48  # pixels: smaller images are enlarged by the browser, pixel by pixel
_QUALITY = 78


def data_address(pixels: NDArray[np.uint8], side: int = SIDE) -> str:
    """Return the image (H, W, 3) as a WebP file of at most ``side`` pixels, as a ``data:`` URL."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    is_tiny = max(image.size) <= _LOSSLESS_UP_TO
    image.save(buffer, "WEBP", lossless=is_tiny, quality=_QUALITY, method=2)
    return f"{IMAGE}{base64.b64encode(buffer.getvalue()).decode()}"
