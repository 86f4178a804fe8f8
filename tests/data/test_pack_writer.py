from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests import settings
from thaw.data.pack_writer import PackedSize, PackWriter, encode
from thaw.data.packed_store import PackedStore

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NAMES = ("images.bin", "index.npy", "pack.json")


@pytest.fixture
def images() -> list[NDArray[np.uint8]]:
    generator = np.random.default_rng(0)
    sizes = [(number + 1, 3 * number + 2, 3) for number in range(5)]
    return [generator.integers(0, 256, size, dtype=np.uint8) for size in sizes]


def sizes(images: list[NDArray[np.uint8]], encoding: str) -> list[PackedSize]:
    return [encode(image, settings.prepare(encoding=encoding))[1] for image in images]


def whole(folder: Path, images: list[NDArray[np.uint8]], encoding: str) -> dict[str, bytes]:
    """Return the files of a store that is written at once."""
    folder.mkdir()
    with PackWriter(folder, settings.prepare(encoding=encoding)) as writer:
        for image in images:
            writer.add(image)
    return {name: (folder / name).read_bytes() for name in NAMES}


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_a_writer_that_continues_writes_the_same_bytes(
    tmp_path: Path, images: list[NDArray[np.uint8]], encoding: str
) -> None:
    expected = whole(tmp_path / "whole", images, encoding)
    config, partial = settings.prepare(encoding=encoding), tmp_path / "partial"
    with suppress(KeyboardInterrupt), PackWriter(tmp_path, config, partial) as writer:
        for image in images[:4]:
            writer.add(image)
        raise KeyboardInterrupt
    known = sizes(images, encoding)
    with PackWriter(tmp_path, config, partial) as writer:
        assert writer.keep(known[:1])
        assert writer.keep(known[1:3])
        for image in images[3:]:
            writer.add(image)
    assert {name: (tmp_path / name).read_bytes() for name in NAMES} == expected
    assert not partial.exists()


def test_images_that_do_not_match_are_not_kept_and_are_replaced(
    tmp_path: Path, images: list[NDArray[np.uint8]]
) -> None:
    expected = whole(tmp_path / "whole", images[:3], "raw")
    config, partial = settings.prepare(encoding="raw"), tmp_path / "partial"
    known = sizes(images, "raw")
    content = bytearray(b"".join(image.tobytes() for image in images))
    content[known[0].length + 2] ^= 1
    partial.write_bytes(content)
    with PackWriter(tmp_path, config, partial) as writer:
        assert writer.keep(known[:1])
        assert not writer.keep(known[1:2])
        for image in images[1:3]:
            writer.add(image)
    assert {name: (tmp_path / name).read_bytes() for name in NAMES} == expected


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_that_is_cut_or_missing_has_no_images_to_keep(
    tmp_path: Path, images: list[NDArray[np.uint8]], is_there: bool
) -> None:
    partial = tmp_path / "partial"
    if is_there:
        partial.write_bytes(images[4].tobytes()[:-1])
    with PackWriter(tmp_path, settings.prepare(encoding="raw"), partial) as writer:
        assert not writer.keep(sizes(images[4:], "raw"))
    assert len(PackedStore(tmp_path)) == 0


def test_images_that_are_left_out_are_not_in_the_index(
    tmp_path: Path, images: list[NDArray[np.uint8]]
) -> None:
    with PackWriter(tmp_path, settings.prepare(encoding="raw")) as writer:
        for image in images:
            writer.add(image)
        writer.leave_out({0, 3})
    store = PackedStore(tmp_path)
    for number, image in enumerate([images[1], images[2], images[4]]):
        np.testing.assert_array_equal(store.read(number), image)
    assert len(store) == 3


LARGE = 400  # images of 30,000 bytes: 12 files of 1 MB


def large_images() -> list[NDArray[np.uint8]]:
    generator = np.random.default_rng(1)
    return list(generator.integers(0, 256, (LARGE, 100, 100, 3), dtype=np.uint8))


def shards(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "images.bin").iterdir())]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_shards_have_the_bytes_of_one_file_with_the_same_index_and_digest(
    tmp_path: Path, encoding: str
) -> None:
    images = large_images()
    expected = whole(tmp_path / "whole", images, encoding)
    with PackWriter(tmp_path, settings.prepare(encoding=encoding, shard_mb=1)) as writer:
        for image in images:
            writer.add(image)
    found = shards(tmp_path)
    assert b"".join(found) == expected["images.bin"]
    assert len(found) > 5
    assert all(900_000 < len(content) <= 1_000_000 for content in found[:-1])
    assert (tmp_path / "index.npy").read_bytes() == expected["index.npy"]
    one, several = PackedStore(tmp_path / "whole"), PackedStore(tmp_path)
    assert several.settings["sha256"] == one.settings["sha256"]
    assert several.settings["shards"] == [len(content) for content in found]
    for number in (0, 33, 34, 399, 200):
        np.testing.assert_array_equal(several.read(number), one.read(number))


@pytest.mark.parametrize("stop", [10, 150, 399])
def test_a_writer_of_shards_continues_with_the_same_files(tmp_path: Path, stop: int) -> None:
    images, config = large_images(), settings.prepare(shard_mb=1)
    expected, partial = tmp_path / "whole", tmp_path / "partial"
    expected.mkdir()
    with PackWriter(expected, config) as writer:
        for image in images:
            writer.add(image)
    with suppress(KeyboardInterrupt), PackWriter(tmp_path, config, partial) as writer:
        for image in images[:stop]:
            writer.add(image)
        raise KeyboardInterrupt
    known = [encode(image, config)[1] for image in images]
    with PackWriter(tmp_path, config, partial) as writer:
        assert writer.keep(known[: stop - 5])
        assert not writer.keep(known[stop - 5 : stop + 1])
        for image in images[stop - 5 :]:
            writer.add(image)
    assert shards(tmp_path) == shards(expected)
    for name in ("index.npy", "pack.json"):
        assert (tmp_path / name).read_bytes() == (expected / name).read_bytes()
