from __future__ import annotations

import hashlib
import io
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from thaw.ingest import duplicates
from thaw.ingest.duplicates import difference_hash, near_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


def picture(seed: int = 0, size: int = 96) -> Image.Image:
    """Return a smooth random image, like a photograph out of focus."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def hashed(image: Image.Image) -> int:
    value = difference_hash(np.asarray(image.convert("RGB")))
    assert value is not None
    return value


def distance(first: int, second: int) -> int:
    return (first ^ second).bit_count()


def as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(io.BytesIO(buffer.getvalue()))


def on_page(image: Image.Image, colour: str = "white") -> Image.Image:
    page = Image.new("RGB", (300, 400), colour)
    page.paste(image, (40, 160))
    return page


# The hash


def test_a_bit_is_1_if_a_pixel_is_darker_than_its_right_neighbour() -> None:
    row = np.array([10, 50, 40, 90, 80, 120, 110, 10, 90], dtype=np.uint8)
    pixels = np.tile(row[None, :, None], (8, 1, 3))
    pixels[7] = pixels[7, ::-1]
    forward, backward = 0b10101001, 0b01101010
    expected = int.from_bytes(bytes([forward] * 7 + [backward]), "big")
    assert difference_hash(pixels) == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((200, 150)),
        lambda image: image.resize((40, 40)),
        lambda image: image.point(lambda value: value // 2 + 70),
        lambda image: image.convert("L"),
        as_jpeg,
        on_page,
        lambda image: on_page(image, "black"),
        lambda image: as_jpeg(on_page(image)),
    ],
    ids=["larger", "smaller", "pale", "grey", "jpeg", "page", "black page", "jpeg of page"],
)
def test_a_changed_version_of_an_image_has_nearly_the_same_hash(
    change: Callable[[Image.Image], Image.Image],
) -> None:
    for seed in range(5):
        image = picture(seed)
        assert distance(hashed(image), hashed(change(image))) < 5


def test_different_images_have_different_hashes() -> None:
    hashes = [hashed(picture(seed)) for seed in range(40)]
    assert min(distance(a, b) for a, b in itertools.combinations(hashes, 2)) >= 8


def flat(value: int, noise: int = 0) -> Pixels:
    drawn = np.random.default_rng(value).integers(-noise, noise + 1, (50, 70, 3))
    return (np.full((50, 70, 3), value) + drawn).clip(0, 255).astype(np.uint8)


def down(low: int, high: int) -> Pixels:
    """Return a gradient from top to bottom: all pixels of a row are equal."""
    column = np.linspace(low, high, 60).astype(np.uint8)
    return np.tile(column[:, None, None], (1, 60, 3))


@pytest.mark.parametrize(
    "pixels",
    [flat(255), flat(0), flat(128, noise=3), down(0, 255), down(90, 200), flat(7)[:1, :1]],
    ids=["white", "black", "grey with noise", "gradient", "another gradient", "one pixel"],
)
def test_an_image_without_differences_has_no_hash(pixels: Pixels) -> None:
    assert difference_hash(pixels) is None


def test_small_objects_on_large_pages_have_different_hashes() -> None:
    pages = [on_page(picture(seed, size=24)) for seed in range(20)]
    hashes = [hashed(page) for page in pages]
    assert min(distance(a, b) for a, b in itertools.combinations(hashes, 2)) >= 6


@pytest.mark.parametrize("size", [(2, 2), (1, 40), (40, 1), (8, 8), (9, 8)])
def test_an_image_of_any_size_can_be_hashed(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    value = difference_hash(pixels)
    assert value is None or 0 <= value < 2**64


# The groups


def components_by_search(hashes: Sequence[int], bits: int) -> set[frozenset[int]]:
    """Return the connected components, found by a search from one image after the other."""
    left, found = set(range(len(hashes))), set()
    while left:
        reached, border = set(), {left.pop()}
        while border:
            place = border.pop()
            reached.add(place)
            near = {other for other in left if distance(hashes[place], hashes[other]) < bits}
            left -= near
            border |= near
        found.add(frozenset(reached))
    return found


def members(names: Sequence[str]) -> set[frozenset[int]]:
    indices = defaultdict(set)
    for index, name in enumerate(names):
        indices[name].add(index)
    return {frozenset(found) for found in indices.values()}


def distinct(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def crowded(count: int, seed: int, free: int = 14) -> list[int]:
    """Return hashes in which few bits differ, so that many are near others; some are equal."""
    values = np.random.default_rng(seed).integers(0, 1 << free, count)
    return [int(value) << (64 - free) for value in values]


@pytest.mark.parametrize(("bits", "seed"), [(1, 0), (2, 1), (4, 2), (9, 0), (16, 1)])
def test_the_groups_are_the_connected_components(bits: int, seed: int) -> None:
    hashes = crowded(200, seed)
    assert members(near_groups(distinct(200), hashes, bits)) == components_by_search(hashes, bits)


@pytest.mark.parametrize("most", [0, 50])
def test_reducing_the_pairs_in_between_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    hashes = crowded(300, seed=1, free=20)
    whole = near_groups(distinct(300), hashes, 5)
    monkeypatch.setattr(duplicates, "_MOST_PAIRS", most)
    assert near_groups(distinct(300), hashes, 5) == whole
    assert 1 < len(set(whole)) < 300


@pytest.mark.parametrize(("bits", "together"), [(3, False), (4, True)])
def test_near_means_fewer_different_bits_than_the_limit(bits: int, together: bool) -> None:
    first, second = near_groups(["a", "b"], [0xFF00, 0xFF07], bits)
    assert (first == second) is together


def test_a_chain_is_one_group_with_the_smallest_of_its_names() -> None:
    names = near_groups(["d", "b", "c", "z"], [0, 0b11, 0b1111, 2**63 | 0xFFFF00], bits=3)
    assert names == ["b", "b", "b", "z"]


def test_images_without_a_hash_are_grouped_by_equal_pixels_only() -> None:
    assert near_groups(["a", "b", "a", "c"], [None, None, None, 5], 16) == ["a", "b", "a", "c"]
    assert near_groups(["a", "b"], [None, None], 16) == ["a", "b"]
    assert near_groups([], [], 16) == []


def test_white_images_are_not_one_group() -> None:
    pages = [flat(255)[: 20 + number] for number in range(5)]
    names = near_groups(distinct(5), [difference_hash(page) for page in pages], 16)
    assert names == distinct(5)


def test_the_order_of_the_images_does_not_matter() -> None:
    hashes, groups = crowded(150, seed=2, free=24), distinct(150)
    order = np.random.default_rng(0).permutation(150).tolist()
    plain = near_groups(groups, hashes, 5)
    shuffled: list[Any] = near_groups([groups[i] for i in order], [hashes[i] for i in order], 5)
    assert shuffled == [plain[i] for i in order]


@pytest.mark.slow
@pytest.mark.parametrize("free", [16, 62], ids=["all near another", "nothing near"])
def test_many_images_take_little_time(free: int) -> None:
    # A comparison pair by pair in Python would take minutes.
    hashes = crowded(20_000, seed=0, free=free)
    names = near_groups(distinct(20_000), hashes, 4)
    assert (len(set(names)) == 1) is (free == 16)
