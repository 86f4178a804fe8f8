"""Encode the kinds of images that the Python API accepts: paths, bytes, PIL images, arrays."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from thaw.data.large_files import unread_reason
from thaw.errors import ThawError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Modes that these formats store without a loss; other modes are converted to RGB.
_PNG_MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
_TIFF_MODES = ("I", "F", "I;16B")
_CHANNELS = (3, 4)


def is_list_of_images(images: Any) -> bool:
    """Return whether images can be taken one by one: not one image, its array, or a table.

    An array (N, H, W) or (N, H, W, 3) is a list. One of shape (H, W, 3) is an image: its rows would
    be read as grey images.
    """
    if isinstance(images, str | bytes | bytearray | memoryview | Mapping):
        return False
    dimensions = getattr(images, "ndim", 1)
    is_one = dimensions == 2 or (dimensions == 3 and images.shape[2] in _CHANNELS)
    return hasattr(images, "__iter__") and not is_one


def encode(image: Any) -> bytes:
    """Return an image as the content of an image file.

    Paths are read and bytes are returned unchanged. PIL images and uint8 arrays of shape (H, W),
    (H, W, 3) or (H, W, 4) become PNG files, PIL images of 32 bits TIFF files; both lose nothing.

    Raises:
        ThawError: the file cannot be read, or ``image`` is of another kind.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | Path):
        try:
            if reason := unread_reason(Path(image)):
                raise ThawError(f"{image}: {reason}")
            return Path(image).read_bytes()
        except OSError as error:
            raise ThawError(f"{image}: {error.strerror}: give the path of an image file") from None
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    if isinstance(image, Image.Image):
        try:
            return _as_file(image)
        except ValueError as error:  # closed, or of a mode that Pillow does not convert
            raise ThawError(
                f"a PIL image of mode {image.mode}: {error}: give an open one of mode RGB"
            ) from None
    raise ThawError(
        f"an image of type {type(image).__name__}: give a path, bytes, a PIL image or an array"
    )


def _from_array(array: NDArray[Any]) -> Image.Image:
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS)
    if array.dtype != np.uint8 or not is_image or array.size == 0:
        raise ThawError(
            f"an array of type {array.dtype} and shape {array.shape}: give uint8 (0 to 255) of "
            "shape (H, W), (H, W, 3) or (H, W, 4)"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _as_file(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    exif = image.getexif()  # holds the orientation
    if image.mode in _TIFF_MODES:
        image.save(buffer, "TIFF", exif=exif)
        return buffer.getvalue()
    if image.mode not in _PNG_MODES:
        image = image.convert("RGB")
    image.save(buffer, "PNG", compress_level=1, exif=exif)
    return buffer.getvalue()
