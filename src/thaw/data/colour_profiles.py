"""Colour profiles (ICC) in images. thaw applies none: it reads all numbers as sRGB."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

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
# Of the range of a grey level. A gamma of 2.2, which stands for sRGB, differs by 9 of 255 levels,
# one of 1.8 by 19, and a dot gain of 20 % by 24.
_CURVE_TOLERANCE = 0.05
_MOST_POINTS = 4096  # of a curve; usual ones have 1 to 1024
_LEVELS = np.linspace(0, 1, 256)
_CURVES = (b"rTRC", b"gTRC", b"bTRC")  # of the three colours


def has_other_profile(image: Image.Image) -> bool:
    """Return whether ``image`` has a profile that differs from sRGB; of greys, in its curve."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or profile[16:20] not in {b"RGB ", b"CMYK", b"GRAY"}:
        return False
    try:
        entries = dict(_entries(profile))
        if profile[16:20] == b"GRAY":
            grey = _curve(profile, entries[b"kTRC"]) if b"kTRC" in entries else None
            return not _names_srgb(profile) if grey is None else _is_other_curve(grey)
        found = {name: _triple(profile, entries[name]) for name in _PRIMARIES if name in entries}
        curves = [_curve(profile, entries[name]) for name in _CURVES if name in entries]
    except struct.error:  # the profile is damaged
        return not _names_srgb(profile)
    if found.keys() == _PRIMARIES.keys():
        return any(curve is not None and _is_other_curve(curve) for curve in curves) or any(
            not np.allclose(found[name], expected, rtol=0, atol=_TOLERANCE)
            for name, expected in _PRIMARIES.items()
        )
    return not _names_srgb(profile)  # a profile of tables


def _names_srgb(profile: bytes) -> bool:
    return b"sRGB" in profile.replace(b"\0", b"")  # its name may be in UTF-16


def _entries(profile: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the name and the place of each entry of the profile's table."""
    (count,) = struct.unpack_from(">I", profile, _HEADER)
    for number in range(min(count, _MOST_ENTRIES)):
        name, offset, _ = struct.unpack_from(">4sII", profile, _HEADER + 4 + number * _ENTRY)
        yield name, offset


def _triple(profile: bytes, place: int) -> tuple[float, ...]:
    return tuple(value / 65536 for value in struct.unpack_from(">3i", profile, place + 8))


def _is_other_curve(luminance: np.ndarray) -> bool:
    """Return whether 256 levels have another luminance (0 to 1) than in sRGB."""
    light = np.clip(np.nan_to_num(luminance), 0, 1)
    as_srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return bool(np.abs(as_srgb - _LEVELS).max() > _CURVE_TOLERANCE)


def _curve(profile: bytes, place: int) -> np.ndarray | None:
    """Return the luminance of 256 levels from 0 to 1, or None for an unknown kind of curve.

    The kinds are those of ICC.1:2022, sections 10.6 (points) and 10.18 (a formula).
    """
    kind, number = profile[place : place + 4], place + 8
    if kind == b"curv":
        (count,) = struct.unpack_from(">I", profile, number)
        if count == 0:
            return _LEVELS
        if count > _MOST_POINTS:
            return None
        points = np.array(struct.unpack_from(f">{count}H", profile, number + 4))
        if count == 1:
            return np.asarray(_LEVELS ** (points[0] / 256))
        return np.interp(_LEVELS, np.linspace(0, 1, count), points / 65535)
    if kind != b"para":
        return None
    (formula,) = struct.unpack_from(">H", profile, number)
    if formula >= len(_PARAMETERS):
        return None
    count = _PARAMETERS[formula]
    given = [value / 65536 for value in struct.unpack_from(f">{count}i", profile, number + 4)]
    gamma, a, b, c, d, e, f = _seven(formula, given)
    with np.errstate(all="ignore"):  # of a damaged profile
        curve = np.power(np.maximum(a * _LEVELS + b, 0), gamma) + e
    return np.where(d <= _LEVELS, curve, c * _LEVELS + f)


_PARAMETERS = (1, 3, 4, 5, 7)  # of the formulas 0 to 4


def _seven(formula: int, given: list[float]) -> list[float]:
    """Return gamma, a, b, c, d, e, f of Y = (aX + b)^gamma + e from d on, else cX + f."""
    if formula == 0:
        return [given[0], 1, 0, 0, 0, 0, 0]
    if formula in {1, 2}:
        gamma, a, b, *rest = given
        shift = rest[0] if rest else 0.0
        return [gamma, a, b, 0, -b / a if a else 0, shift, shift]
    return [*given, 0, 0] if formula == 3 else given
