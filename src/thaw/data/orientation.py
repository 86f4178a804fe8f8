"""EXIF orientation: turn a stored image upright, a strip of rows at a time.

``PIL.ImageOps.exif_transpose`` turns whole images only. An image of 100 megapixels would then be in
memory twice. It also rewrites the EXIF block and fails where that block is damaged.
"""

from __future__ import annotations

from PIL import ExifTags, Image

Transpose = Image.Transpose

# EXIF 2.32, section 4.6.4, tag 274: orientation -> the operation that makes the image upright.
_OPERATIONS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_SWAPS_AXES = {_OPERATIONS[value] for value in (5, 6, 7, 8)}
# The first upright row is the last stored row or column.
_REVERSES_ROWS = {_OPERATIONS[value] for value in (3, 4, 7, 8)}


def operation_of(image: Image.Image) -> Transpose | None:
    """Return the operation that makes ``image`` upright; None if it is upright.

    Values that EXIF does not define are ignored: some cameras write 0.
    """
    return _OPERATIONS.get(image.getexif().get(ExifTags.Base.Orientation, 0))


def upright_size(size: tuple[int, int], operation: Transpose | None) -> tuple[int, int]:
    """Return (width, height) of an image of ``size`` after ``operation``."""
    return size[::-1] if operation in _SWAPS_AXES else size


def upright_rows(
    image: Image.Image, operation: Transpose | None, top: int, bottom: int
) -> Image.Image:
    """Return the rows ``top`` to ``bottom`` (exclusive) of the upright image."""
    width, height = image.size
    axis_length = width if operation in _SWAPS_AXES else height  # the axis that becomes the rows
    if (top, bottom) != (0, axis_length):
        first, last = top, bottom
        if operation in _REVERSES_ROWS:
            first, last = axis_length - bottom, axis_length - top
        swapped = operation in _SWAPS_AXES
        image = image.crop((first, 0, last, height) if swapped else (0, first, width, last))
    return image if operation is None else image.transpose(operation)
