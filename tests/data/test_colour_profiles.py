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


OTHERS = {"Display P3": profile(DISPLAY_P3), "Adobe RGB": profile(ADOBE_RGB)}


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


def test_a_profile_of_cmyk_is_counted_beside_its_conversion() -> None:
    content = picture("JPEG", of_space(b"CMYK"), "CMYK")
    found = decode(content, short_side=16, max_megapixels=1)
    assert found.conversions == (READ_AS_SRGB, "CMYK to RGB")


@pytest.mark.parametrize(
    "icc",
    [
        pytest.param(SRGB, id="sRGB"),
        pytest.param(SRGB.replace(b"s\0R\0G\0B", b"c\0002\0 \0 "), id="sRGB under another name"),
        pytest.param(of_space(b"GRAY"), id="grey"),
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
