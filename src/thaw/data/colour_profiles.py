"""Colour profiles (ICC) in images. thaw applies none: it reads all numbers as sRGB."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

READ_AS_SRGB = "another colour profile read as sRGB"  # the name of the conversion

_HEADER, _ENTRY = 128, 12  # bytes
_MOST_ENTRIES = 100  # of a profile's table; usual profiles have 9 to 20
# The primaries of sRGB (X, Y, Z), adapted to D50 as in each profile.
_PRIMARIES = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
_TOLERANCE = 0.005  # sRGB profiles of 12 programs differ by less, Display P3 by more than 0.04


def has_other_profile(image: Image.Image) -> bool:
    """Return whether ``image`` has a colour profile other than sRGB. Greys have no colours."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or profile[16:20] not in {b"RGB ", b"CMYK"}:
        return False
    found = _primaries(profile)
    if found.keys() == _PRIMARIES.keys():
        return any(
            not np.allclose(found[name], expected, rtol=0, atol=_TOLERANCE)
            for name, expected in _PRIMARIES.items()
        )
    return b"sRGB" not in profile.replace(b"\0", b"")  # a profile of tables; its name is in UTF-16


def _primaries(profile: bytes) -> dict[bytes, tuple[float, ...]]:
    """Return those of the primaries that ``profile`` has, by the name of their entry."""
    found = {}
    try:
        (count,) = struct.unpack_from(">I", profile, _HEADER)
        for number in range(min(count, _MOST_ENTRIES)):
            place = _HEADER + 4 + number * _ENTRY
            name, offset, _ = struct.unpack_from(">4sII", profile, place)
            if name in _PRIMARIES:
                values = struct.unpack_from(">3i", profile, offset + 8)
                found[name] = tuple(value / 65536 for value in values)
    except struct.error:  # the profile is damaged
        return {}
    return found
