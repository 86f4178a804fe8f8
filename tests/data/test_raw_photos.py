from __future__ import annotations

import io

import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from thaw.data.decode_error import DecodeError
from thaw.data.decoding import decode
from thaw.data.raw_photos import raw_photo_problem


def tiff(tags: dict[int, object], frames: int = 1) -> bytes:
    directory = ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    stream, image = io.BytesIO(), Image.new("RGB", (16, 12), (10, 20, 30))
    more = [Image.new("RGB", (160, 120))] * (frames - 1)
    image.save(stream, "TIFF", tiffinfo=directory, save_all=frames > 1, append_images=more)
    return stream.getvalue()


RAW = {
    "DNG": tiff({254: 1, 50706: b"\x01\x04\0\0"}),
    "NEF": tiff({254: 1, 330: 8}),
    "preview and photo": tiff({254: 1}, frames=2),
}
USUAL = {
    "one page": tiff({254: 0}),
    "a copy alone": tiff({254: 1}),
    "pages": tiff({254: 2}, frames=2),
    "large image first, small ones in it": tiff({330: 8}),
}


@pytest.mark.parametrize("content", RAW.values(), ids=RAW)
def test_the_preview_of_a_raw_photo_is_not_taken_for_the_photo(content: bytes) -> None:
    with pytest.raises(DecodeError, match="raw photo"):
        decode(content, short_side=8, max_megapixels=1)


def test_a_file_of_canon_is_named() -> None:
    content = tiff({})
    image = Image.open(io.BytesIO(content))
    found = raw_photo_problem(image, content[:8] + b"CR\x02\0" + content[12:])
    assert str(found).startswith("a raw photo (CR2)")


@pytest.mark.parametrize("content", USUAL.values(), ids=USUAL)
def test_other_tiff_files_are_read(content: bytes) -> None:
    assert decode(content, short_side=8, max_megapixels=1).width == 16


@pytest.mark.parametrize("content", RAW.values(), ids=RAW)
def test_earlier_models_read_what_they_read_before(content: bytes) -> None:
    assert decode(content, short_side=8, max_megapixels=1, pixel_range="clip").width == 16
