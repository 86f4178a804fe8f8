"""Raw photos of cameras: TIFF files whose first image is a small copy of the photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_DNG_VERSION, _SUBFILE_TYPE, _SUB_IMAGES = 50706, 254, 330  # tags
_REDUCED = 1  # bit of the subfile type
_CR2 = slice(8, 10)  # where Canon's files say what they are
_CONVERT = "which thaw does not read: develop it to JPEG or PNG"


def raw_photo_problem(image: Image.Image, content: bytes) -> str | None:
    """Return that ``image``, opened from ``content``, is a raw photo; None if it is not.

    Pillow would read the small copy for previews as the image.
    """
    if image.format != "TIFF":
        return None
    tags = image.tag_v2  # type: ignore[attr-defined]
    if _DNG_VERSION in tags:
        return f"a raw photo (DNG), {_CONVERT}"
    if content[_CR2] == b"CR":
        return f"a raw photo (CR2), {_CONVERT}"
    is_reduced = bool(int(tags.get(_SUBFILE_TYPE, 0)) & _REDUCED)
    if is_reduced and (_SUB_IMAGES in tags or getattr(image, "is_animated", False)):
        return (
            "its first image is a reduced copy of another one, as in raw photos (NEF, ARW): "
            "convert it to JPEG or PNG"
        )
    return None
