from __future__ import annotations

import hashlib
import json
import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import settings, tiny
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import PackedStore
from thaw.errors import ThawError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.config.prepare_section import Prepare

    Images = list[NDArray[np.uint8]]

Encoding = Literal["raw", "jpeg"]
SHAPES = [(8, 8), (1, 1), (5, 7), (40, 3), (16, 16), (5, 7)]


def config(encoding: Encoding) -> Prepare:
    return settings.prepare(
        val_fraction=0.2, test_fraction=0.2, short_side=64, encoding=encoding, max_megapixels=2.5
    )


def noise() -> Images:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in SHAPES]


def smooth() -> Images:
    """Return a smooth random image: neighbouring pixels are similar, as in a photograph."""
    images = []
    for number, (height, width) in enumerate(SHAPES):
        down, across = np.mgrid[0:height, 0:width]
        channels = [down * 4, across * 4, np.full_like(down, 40 * number)]
        images.append(np.stack(channels, axis=-1).astype(np.uint8))
    return images


def packed(folder: Path, images: Images, encoding: Encoding) -> PackedStore:
    folder.mkdir(exist_ok=True)
    with PackWriter(folder, config(encoding)) as writer:
        for image in images:
            writer.add(image)
    return PackedStore(folder)


def test_raw_images_are_read_bit_for_bit_in_any_order(tmp_path: Path) -> None:
    images = noise()
    store = packed(tmp_path, images, "raw")
    assert len(store) == len(images)
    for number in (3, 0, 5, 1, 4, 2, 3):
        assert np.array_equal(store.read(number), images[number])


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_images_that_are_left_out_are_not_in_the_store(tmp_path: Path, encoding: Encoding) -> None:
    images = noise()
    with PackWriter(tmp_path, config(encoding)) as writer:
        for image in images:
            writer.add(image)
        writer.leave_out({0, 3})
    store = PackedStore(tmp_path)
    shapes = [image.shape[:2] for number, image in enumerate(images) if number not in {0, 3}]
    assert store.shapes(np.arange(len(store))).tolist() == [list(shape) for shape in shapes]
    if encoding == "raw":
        assert np.array_equal(store.read(2), images[4])


def test_jpeg_images_are_read_nearly_unchanged(tmp_path: Path) -> None:
    images = smooth()
    store = packed(tmp_path, images, "jpeg")
    for number in (3, 0, 5, 1, 4, 2):
        found = store.read(number)
        assert found.shape == images[number].shape
        assert np.abs(found.astype(int) - images[number]).mean() < 2


def test_jpeg_keeps_the_colours_of_single_pixels(tmp_path: Path) -> None:
    # With subsampled chroma a red pixel beside a blue one would turn purple.
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, ::2, 0] = 255
    image[:, 1::2, 2] = 255
    found = packed(tmp_path, [image], "jpeg").read(0).astype(int)
    assert np.abs(found - image).max() < 60


def test_jpeg_is_smaller(tmp_path: Path) -> None:
    image = smooth()[4].repeat(8, axis=0).repeat(8, axis=1)
    packed(tmp_path, [image], "jpeg")
    assert (tmp_path / "images.bin").stat().st_size < image.nbytes / 5


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_shapes_are_known_without_reading(tmp_path: Path, encoding: Encoding) -> None:
    store = packed(tmp_path, noise(), encoding)
    assert store.shapes(np.array([3, 0])).tolist() == [[40, 3], [8, 8]]


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_a_store_can_be_pickled_before_and_after_the_first_read(
    tmp_path: Path, encoding: Encoding
) -> None:
    store = packed(tmp_path, noise(), encoding)
    fresh: PackedStore = pickle.loads(pickle.dumps(store))
    first = store.read(2)
    used: PackedStore = pickle.loads(pickle.dumps(store))
    assert np.array_equal(fresh.read(2), first)
    assert np.array_equal(used.read(2), first)


def test_a_pickled_store_contains_no_images(tmp_path: Path) -> None:
    store = packed(tmp_path, [np.zeros((500, 500, 3), np.uint8)], "raw")
    store.read(0)
    assert len(pickle.dumps(store)) < 10_000


def test_changing_a_read_image_does_not_change_the_store(tmp_path: Path) -> None:
    images = noise()
    store = packed(tmp_path, images, "raw")
    store.read(0)[:] = 0
    assert np.array_equal(store.read(0), images[0])


def test_the_store_keeps_the_settings_of_decoding(tmp_path: Path) -> None:
    kept = packed(tmp_path, [], "raw").settings
    assert (kept["short_side"], kept["max_megapixels"], kept["range"]) == (64, 2.5, "type")


def test_the_store_names_the_pixels_of_jpegs_only_where_these_are_not_those_of_earlier_versions(
    tmp_path: Path,
) -> None:
    for pixels in ("reduced", "all"):
        folder = tmp_path / pixels
        folder.mkdir()
        with PackWriter(folder, settings.prepare(jpeg_pixels=pixels)):
            pass
        found = PackedStore(folder).settings.get("jpeg_pixels")
        assert found == (None if pixels == "reduced" else "all")


def test_an_empty_store_has_no_images(tmp_path: Path) -> None:
    assert len(packed(tmp_path, [], "raw")) == 0


def test_an_error_while_packing_leaves_no_index(tmp_path: Path) -> None:
    grey = np.zeros((8, 8), np.uint8)
    with pytest.raises(ValueError, match="unpack"):
        packed(tmp_path, [*noise(), grey], "raw")
    assert not (tmp_path / "index.npy").exists()


@pytest.mark.parametrize(("first", "second"), [("raw", "jpeg"), ("jpeg", "raw")])
def test_a_folder_packed_again_with_the_other_encoding_is_read_with_it(
    tmp_path: Path, first: Encoding, second: Encoding
) -> None:
    packed(tmp_path, smooth(), first)
    images = smooth()[::-1]
    store = packed(tmp_path, images, second)
    for number, image in enumerate(images):
        assert np.abs(store.read(number).astype(int) - image).mean() < 2


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_a_pack_of_an_earlier_version_is_read(tmp_path: Path, encoding: Encoding) -> None:
    images = smooth()
    packed(tmp_path, images, encoding)
    (tmp_path / "images.bin").rename(tmp_path / f"images.{encoding}")
    settings = json.loads((tmp_path / "pack.json").read_text())
    del settings["encoding"]
    (tmp_path / "pack.json").write_text(json.dumps(settings))
    store = PackedStore(tmp_path)
    for number, image in enumerate(images):
        assert np.abs(store.read(number).astype(int) - image).mean() < 2


def test_writing_does_not_change_a_file_that_dvc_has_linked(tmp_path: Path) -> None:
    packed(tmp_path, noise(), "raw")
    cached = tmp_path / "cached"
    cached.hardlink_to(tmp_path / "images.bin")
    before = cached.read_bytes()
    packed(tmp_path, noise()[1:], "raw")
    assert cached.read_bytes() == before


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    with tiny.full_disk(), pytest.raises(ThawError, match=r"images\.bin"):
        packed(tmp_path, [np.zeros((100, 100, 3), np.uint8)], "raw")


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_the_digest_is_that_of_the_images_file(tmp_path: Path, encoding: Encoding) -> None:
    store = packed(tmp_path, noise(), encoding)
    content = (tmp_path / "images.bin").read_bytes()
    assert store.settings["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_thumbnail_of_a_long_image_is_smaller_and_that_of_a_small_one_is_the_image(
    tmp_path: Path,
) -> None:
    images = [np.full((16, 1600, 3), 90, np.uint8), *noise()]
    store = packed(tmp_path, images, "raw")
    assert store.thumbnail(0).shape == (10, 1024, 3)
    assert (store.thumbnail(0) == 90).all()
    assert np.array_equal(store.thumbnail(1), images[1])


@pytest.mark.property
@given(st.data())
def test_any_images_come_back_bit_for_bit_in_any_order(data: st.DataObject) -> None:
    side = st.integers(1, 9)
    shapes = data.draw(st.lists(st.tuples(side, side), max_size=6))
    generator = np.random.default_rng(data.draw(st.integers(0, 999)))
    images = [generator.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    dropped = data.draw(st.sets(st.integers(0, max(0, len(images) - 1))))
    with tempfile.TemporaryDirectory() as folder:
        with PackWriter(Path(folder), config("raw")) as writer:
            for image in images:
                writer.add(image)
            writer.leave_out(dropped)
        store = PackedStore(Path(folder))
        kept = [image for number, image in enumerate(images) if number not in dropped]
        assert len(store) == len(kept)
        for number in data.draw(st.permutations(range(len(kept)))):
            assert np.array_equal(store.read(number), kept[number])
            assert store.shapes(np.array([number])).tolist() == [list(kept[number].shape[:2])]


@pytest.fixture
def sharded(tmp_path: Path) -> PackedStore:
    """Return 30 images of 120,000 bytes in files of 8 images."""
    generator = np.random.default_rng(0)
    with PackWriter(tmp_path, settings.prepare(shard_mb=1)) as writer:
        for _ in range(30):
            writer.add(generator.integers(0, 256, (200, 200, 3), dtype=np.uint8))
    return PackedStore(tmp_path)


def test_damage_in_a_shard_names_the_shard_and_the_bytes_in_it(
    tmp_path: Path, sharded: PackedStore
) -> None:
    shard = tmp_path / "images.bin" / "00001.bin"
    content = bytearray(shard.read_bytes())
    content[250_000] ^= 1  # in its third image
    shard.write_bytes(content)
    place = "00001.bin is damaged: image 10, bytes 240000 to 359999;.*`thaw repair`"
    with pytest.raises(ThawError, match=place):
        sharded.read(10)
    for number in (9, 11, 0, 29):
        assert sharded.read(number).shape == (200, 200, 3)


@pytest.mark.parametrize("kind", ["cut", "empty", "gone"])
def test_a_shard_that_is_cut_empty_or_gone_is_named(
    tmp_path: Path, sharded: PackedStore, kind: str
) -> None:
    shard = tmp_path / "images.bin" / "00003.bin"
    if kind == "gone":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[: 700_000 if kind == "cut" else 0])
    with pytest.raises(ThawError, match=r"00003\.bin is damaged"):
        sharded.read(29)
    assert sharded.read(0).shape == (200, 200, 3)


def test_a_store_of_shards_can_be_sent_to_another_process(sharded: PackedStore) -> None:
    expected = sharded.read(20)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(sharded)).read(20), expected)
