from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.data.corpus import corpus, save
from thaw.data.header_sizes import gif_size, size_of_file, webp_size

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (301, 17)


@pytest.mark.parametrize(
    ("mode", "options", "chunk"),
    [
        ("RGB", {}, b"VP8 "),
        ("RGB", {"lossless": True}, b"VP8L"),
        ("RGBA", {}, b"VP8X"),
        ("RGB", {"icc_profile": b"a profile"}, b"VP8X"),
        ("RGB", {"save_all": True, "append_images": [Image.new("RGB", SIZE, "red")]}, b"VP8X"),
    ],
)
def test_the_size_of_every_kind_of_webp_is_read(
    mode: str, options: dict[str, Any], chunk: bytes
) -> None:
    content = save(Image.new(mode, SIZE), "WEBP", **options)
    assert content[12:16] == chunk
    assert webp_size(content) == SIZE
    assert gif_size(content) is None


@pytest.mark.parametrize("extension", [b"", b"\x21\xf9\x04\x08\0\0\0\0", b"\x21\xfe\x02,,\x01,\0"])
def test_the_size_of_a_gif_contains_a_frame_that_is_larger_than_the_screen(
    extension: bytes,
) -> None:
    content = save(Image.new("P", SIZE), "GIF")
    assert gif_size(content) == SIZE
    place = content.index(b",\0\0\0\0")
    frame = b"," + struct.pack("<HHHH", 5, 7, 7000, 6000)
    large = content[:place] + extension + frame + content[place + 9 :]
    assert gif_size(large) == (7005, 6007)
    assert Image.open(io.BytesIO(large)).size == (7005, 6007)


def test_sizes_are_those_that_pillow_reads() -> None:
    found = 0
    for picture in corpus():
        size = webp_size(picture.content) or gif_size(picture.content)
        if size and not picture.reason:
            found += 1
            assert size == Image.open(io.BytesIO(picture.content)).size
    assert found > 20


def test_a_file_that_ends_in_its_header_has_no_size_or_that_of_its_screen() -> None:
    webp, gif = (save(Image.new("P", SIZE), kind) for kind in ("WEBP", "GIF"))
    assert [webp_size(webp[:length]) for length in range(30)] == [None] * 30
    assert {gif_size(gif[:length]) for length in range(13)} == {None}
    assert {gif_size(gif[:length]) for length in range(13, len(gif))} == {SIZE}


def test_the_size_of_a_file_is_the_one_that_pillow_reads(tmp_path: Path) -> None:
    found = 0
    for picture in corpus():
        if picture.reason:
            continue
        path = tmp_path / "picture"
        path.write_bytes(picture.content)
        assert size_of_file(path) == Image.open(path).size, picture.name
        found += 1
    assert found > 100


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_formats_that_allocate_when_opened_are_not_opened_for_their_size(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picture"
    Image.new("RGB", SIZE).save(path, kind)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the file was opened")

    monkeypatch.setattr(Image, "open", fail)
    assert size_of_file(path) == SIZE


@pytest.mark.parametrize("kind", ["JPEG2000", "ICO", "PPM", "TGA"])
def test_formats_that_thaw_does_not_read_have_no_size(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    Image.new("RGB", (32, 32)).save(path, kind)
    with pytest.raises(OSError, match="cannot identify"):
        size_of_file(path)
