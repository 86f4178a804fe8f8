from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from thaw.data.colour_profiles import READ_AS_SRGB, has_other_profile
from thaw.data.decoding import decode

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
DISPLAY_P3 = {
    b"rXYZ": (0.5151, 0.2412, -0.0011),
    b"gXYZ": (0.2919, 0.6922, 0.0419),
    b"bXYZ": (0.1572, 0.0666, 0.7841),
}
ADOBE_RGB = {
    b"rXYZ": (0.6097, 0.3111, 0.0195),
    b"gXYZ": (0.2053, 0.6257, 0.0609),
    b"bXYZ": (0.1492, 0.0632, 0.7446),
}


def profile(primaries: dict[bytes, tuple[float, float, float]]) -> bytes:
    """Return the profile of sRGB with other primaries."""
    content = bytearray(SRGB)
    (count,) = struct.unpack_from(">I", content, 128)
    for number in range(count):
        name, offset, _ = struct.unpack_from(">4sII", content, 132 + 12 * number)
        if name in primaries:
            values = (round(value * 65536) for value in primaries[name])
            struct.pack_into(">3i", content, offset + 8, *values)
    return bytes(content)


def of_space(space: bytes) -> bytes:
    return SRGB[:16] + space + SRGB[20:128] + struct.pack(">I", 0)


def grey(curve: bytes) -> bytes:
    """Return the profile of a grey scale with ``curve``."""
    entry = struct.pack(">I4sII", 1, b"kTRC", 144, len(curve))
    return SRGB[:16] + b"GRAY" + SRGB[20:128] + entry + curve


def points(gamma: float, count: int = 1) -> bytes:
    """Return a curve: the gamma alone, or ``count`` points of it."""
    if count == 1:
        return struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256))
    values = [round(65535 * (level / (count - 1)) ** gamma) for level in range(count)]
    return struct.pack(f">4sII{count}H", b"curv", 0, count, *values)


def formula(number: int, *values: float) -> bytes:
    """Return a curve as a formula of ICC.1:2022, 10.18."""
    numbers = (round(value * 65536) for value in values)
    return struct.pack(f">4sIHH{len(values)}i", b"para", 0, number, 0, *numbers)


SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
OTHER_GREYS = {
    "linear": struct.pack(">4sII", b"curv", 0, 0),
    "gamma 1.0": points(1.0),
    "gamma 1.8": points(1.8),
    "256 points of gamma 1.0": points(1.0, 256),
    "formula 0": formula(0, 1.8),
    "formula 1": formula(1, 1.8, 1, 0),
    "formula 2": formula(2, 1.8, 0.9, 0, 0.1),
    "formula 1 without a slope": formula(1, 1.8, 0, 0),
    "an unknown formula": formula(9, 1.0),
    "a negative gamma": formula(0, -2.0),
    "an unknown kind": b"text" + bytes(8),
    "cut": struct.pack(">4sII", b"curv", 0, 1000),
    "2^32 - 1 points": struct.pack(">4sII", b"curv", 0, 2**32 - 1),
}


def with_curves(gamma: float) -> bytes:
    """Return the profile of sRGB with the same curve of a gamma for the three colours."""
    content, curve = bytearray(SRGB), points(gamma)
    (count,) = struct.unpack_from(">I", content, 128)
    for number in range(count):
        place = 132 + 12 * number
        if bytes(content[place : place + 4]) in {b"rTRC", b"gTRC", b"bTRC"}:
            struct.pack_into(">II", content, place + 4, len(content), len(curve))
    return bytes(content) + curve


OTHERS = {
    "Display P3": profile(DISPLAY_P3),
    "Adobe RGB": profile(ADOBE_RGB),
    "linear": with_curves(1.0),
}


def picture(kind: str, icc: bytes | None, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind, **({"icc_profile": icc} if icc else {}))
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("name", OTHERS)
def test_an_image_with_another_profile_is_counted_and_keeps_its_pixels(
    kind: str, name: str
) -> None:
    plain = decode(picture(kind, None), short_side=16, max_megapixels=1)
    found = decode(picture(kind, OTHERS[name]), short_side=16, max_megapixels=1)
    assert found.conversions == (READ_AS_SRGB,)
    assert plain.conversions == ()
    assert np.array_equal(found.pixels, plain.pixels)


@pytest.mark.parametrize("name", OTHER_GREYS)
def test_a_grey_image_with_another_curve_is_counted_and_keeps_its_pixels(name: str) -> None:
    plain = decode(picture("PNG", None, "L"), short_side=16, max_megapixels=1)
    found = decode(picture("PNG", grey(OTHER_GREYS[name]), "L"), short_side=16, max_megapixels=1)
    assert set(found.conversions) - set(plain.conversions) == {READ_AS_SRGB}
    assert np.array_equal(found.pixels, plain.pixels)


def test_a_profile_of_cmyk_is_counted_beside_its_conversion() -> None:
    content = picture("JPEG", of_space(b"CMYK"), "CMYK")
    found = decode(content, short_side=16, max_megapixels=1)
    assert found.conversions == (READ_AS_SRGB, "CMYK to RGB")


@pytest.mark.parametrize(
    "icc",
    [
        pytest.param(SRGB, id="sRGB"),
        pytest.param(SRGB.replace(b"s\0R\0G\0B", b"c\0002\0 \0 "), id="sRGB under another name"),
        pytest.param(with_curves(2.2), id="sRGB with a gamma of 2.2"),
        pytest.param(grey(points(2.2)), id="grey, gamma 2.2"),
        pytest.param(grey(formula(3, *SRGB_CURVE)), id="grey, curve of sRGB"),
        pytest.param(grey(formula(4, *SRGB_CURVE, 0, 0)), id="grey, the same with shifts"),
        pytest.param(of_space(b"GRAY") + "sRGB".encode("utf-16-be"), id="grey, by its name"),
        pytest.param(of_space(b"RGB ") + "sRGB v4".encode("utf-16-be"), id="tables, by its name"),
        pytest.param(None, id="none"),
        pytest.param(b"no profile", id="damaged"),
    ],
)
def test_other_images_are_not_counted(icc: bytes | None) -> None:
    image = Image.new("RGB", (2, 2))
    image.info["icc_profile"] = icc
    assert not has_other_profile(image)


@pytest.mark.parametrize("count", [1, 100, 2**32 - 1])
def test_a_damaged_table_is_no_error(count: int) -> None:
    image = Image.new("RGB", (2, 2))
    image.info["icc_profile"] = OTHERS["Adobe RGB"][:128] + struct.pack(">I4s", count, b"rXYZ")
    assert has_other_profile(image)
