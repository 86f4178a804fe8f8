from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests import settings
from thaw.data import preprocessing as module
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_images import read_packed
from thaw.data.packed_store import PackedStore
from thaw.data.preprocessing import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    Pixels = NDArray[np.uint8]

MODES = ["bilinear", "bicubic"]


def preprocessing(**changes: Any) -> Preprocessing:
    values: dict[str, Any] = {
        "short_side": 256,
        "max_megapixels": 100.0,
        "image_size": 32,
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.1, 0.2, 0.25),
    }
    return Preprocessing(**{**values, **changes})


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def planes(image: Pixels) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


# Framing


@pytest.mark.parametrize("shape", [(32, 64), (64, 32), (100, 25), (8, 12)])
def test_pad_shows_the_whole_image_between_borders_of_the_mean(shape: tuple[int, int]) -> None:
    framed = preprocessing(framing="pad").resize([np.full((*shape, 3), 255, np.uint8)])[0]
    inner = round(32 * min(shape) / max(shape))
    shown = (framed == 255).all(dim=0)
    assert int(shown.sum()) == 32 * inner
    border = {tuple(pixel) for pixel in framed[:, ~shown].T.tolist()}
    assert border == {(128, 102, 76)}  # 255 times the mean


def test_squish_shows_the_whole_image_in_other_proportions() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :40] = 255
    framed = preprocessing(framing="squish").resize([image])[0]
    assert int((framed > 127).sum()) == 3 * 32 * 16


@pytest.mark.parametrize("framing", ["pad", "squish"])
def test_a_square_image_is_framed_as_by_crop(framing: str) -> None:
    image = noise(50, 50)
    values = {"crop_pct": 0.875, "interpolation": "bicubic"}
    expected = preprocessing(**values).resize([image])
    assert torch.equal(preprocessing(framing=framing, **values).resize([image]), expected)


@pytest.mark.parametrize("framing", ["pad", "squish"])
def test_an_elongated_image_is_framed_whole_within_bounded_memory(framing: str) -> None:
    image = np.full((8, 800, 3), 255, np.uint8)
    framed = preprocessing(framing=framing, image_size=512).resize([image])[0]
    rows = (framed == 255).all(dim=0).sum(dim=0)
    assert set(rows.tolist()) == {5 if framing == "pad" else 512}


def test_a_model_of_the_default_framing_has_the_content_of_earlier_versions() -> None:
    assert "framing" not in preprocessing().model_dump()
    stored = preprocessing(framing="pad").model_dump()
    assert Preprocessing.model_validate(stored).framing == "pad"


def test_a_model_of_reduced_jpegs_has_the_content_of_earlier_versions() -> None:
    assert "jpeg_pixels" not in preprocessing().model_dump()
    stored = preprocessing(jpeg_pixels="all").model_dump()
    assert Preprocessing.model_validate(stored).jpeg_pixels == "all"


@pytest.mark.parametrize("framing", ["pad", "squish"])
def test_framing_on_a_device_differs_by_a_rounding(framing: str, tmp_path: Path) -> None:
    sizes = [(64, 91), (91, 64), (33, 33), (20, 90)]
    with PackWriter(tmp_path, settings.prepare(encoding="raw")) as writer:
        for number, size in enumerate(sizes):
            writer.add(noise(*size, seed=number))
    store = PackedStore(tmp_path)
    framed = preprocessing(framing=framing, interpolation="bicubic")
    packed = read_packed(store, np.arange(len(sizes)), framed.resize)
    expected = framed.resize([store.read(number) for number in range(len(sizes))])
    moved = framed.resize_packed(packed).int() - expected.int()
    assert int(moved.abs().max()) <= 2


# Resize


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_the_input_size_is_unchanged(mode: str) -> None:
    image = noise(32, 32)
    assert torch.equal(preprocessing(interpolation=mode).resize([image])[0], planes(image))


@pytest.mark.parametrize("shape", [(32, 64), (64, 32), (32, 33), (45, 32)])
def test_the_centre_of_an_image_that_is_not_square_is_cropped(shape: tuple[int, int]) -> None:
    image = noise(*shape)
    top, left = (round((side - 32) / 2) for side in shape)
    expected = planes(image[top : top + 32, left : left + 32])
    assert torch.equal(preprocessing().resize([image])[0], expected)


def test_crop_pct_keeps_the_centre_of_the_short_side() -> None:
    image = noise(32, 40)
    found = preprocessing(image_size=28, crop_pct=0.875).resize([image])[0]
    assert torch.equal(found, planes(image[2:30, 6:34]))


@pytest.mark.parametrize("mode", MODES)
def test_downscaling_averages_so_that_fine_lines_do_not_vanish(mode: str) -> None:
    lines = np.zeros((128, 128, 3), np.uint8)
    lines[:, ::4] = 255
    found = preprocessing(interpolation=mode).resize([lines])[0].float()
    assert found[:, 2:-2, 2:-2].sub(255 / 4).abs().max() < 8


@pytest.mark.parametrize("mode", MODES)
def test_8_pixels_are_enlarged_without_a_shift(mode: str) -> None:
    step = np.zeros((8, 8, 3), np.uint8)
    step[:, 4:] = 240
    found = preprocessing(interpolation=mode).resize([step])[0].float()
    assert (found[:, :, :12] < 12).all()
    assert (found[:, :, 20:] > 228).all()
    mirrored = found.flip(-1)
    assert (found + mirrored - 240).abs().max() <= 15  # bicubic's undershoot is clipped at 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (8, 500), (31, 33), (700, 20)])
@pytest.mark.parametrize("mode", MODES)
def test_any_shape_becomes_a_square_of_the_same_colour(shape: tuple[int, int], mode: str) -> None:
    image = np.full((*shape, 3), (10, 128, 250), np.uint8)
    found = preprocessing(image_size=24, crop_pct=0.9, interpolation=mode).resize([image])
    assert found.shape == (1, 3, 24, 24)
    assert (found == torch.tensor([10, 128, 250]).view(1, 3, 1, 1)).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("crop_pct", [0.875, 1.0])
def test_images_of_mixed_shapes_are_resized_as_if_one_at_a_time(mode: str, crop_pct: float) -> None:
    shapes = [(8, 8), (30, 50), (8, 8), (50, 30), (200, 100), (8, 8), (30, 50), (28, 28)]
    images = [noise(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    together = preprocessing(interpolation=mode, crop_pct=crop_pct)
    found = together.resize(images)
    assert found.dtype == torch.uint8
    for image, mixed in zip(images, found, strict=True):
        assert torch.equal(together.resize([image])[0], mixed)


def test_no_images_are_an_empty_batch() -> None:
    assert preprocessing().resize([]).shape == (0, 3, 32, 32)


def test_normalize_subtracts_the_mean_and_divides_by_the_deviation() -> None:
    images = torch.tensor([0.5, 1.0, 0.05]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    found = preprocessing().normalize(images)
    expected = torch.tensor([0.0, 3.0, -1.0]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    torch.testing.assert_close(found, expected)


def test_denormalize_inverts_normalize() -> None:
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = preprocessing().denormalize(preprocessing().normalize(images))
    torch.testing.assert_close(found, images)


def test_preprocessing_survives_json() -> None:
    original = preprocessing(interpolation="bicubic", crop_pct=0.875)
    assert Preprocessing.model_validate_json(original.model_dump_json()) == original


def test_preprocessing_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError):
        preprocessing(antialias=False)


def test_packed_images_are_resized_in_parts_where_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    with PackWriter(tmp_path, settings.prepare(encoding="raw")) as writer:
        for number in range(9):
            shape = (40, 60, 3) if number % 2 else (50, 40, 3)
            writer.add(generator.integers(0, 256, shape, dtype=np.uint8))
    config = preprocessing(interpolation="bicubic", crop_pct=0.875)
    packed = read_packed(PackedStore(tmp_path), np.arange(9), config.resize)
    whole = config.resize_packed(packed)
    monkeypatch.setattr("thaw.data.preprocessing._MOST_PIXELS_IN_FLOAT32", 5000)  # two images
    assert torch.equal(config.resize_packed(packed), whole)
    assert whole.is_contiguous(memory_format=torch.channels_last)
    store = PackedStore(tmp_path)
    expected = config.resize([store.read(number) for number in range(9)])
    assert int((whole.int() - expected.int()).abs().max()) <= 2


def test_mean_and_deviation_are_copied_to_a_gpu_once() -> None:
    made = module._statistics_on_gpu((0.5, 0.4, 0.3), (0.1, 0.2, 0.3), torch.device("cpu"))
    expected = module._statistics((0.5, 0.4, 0.3), (0.1, 0.2, 0.3), torch.device("cpu"))
    for one, other in zip(made, expected, strict=True):
        assert torch.equal(one, other)
        assert one.shape == (1, 3, 1, 1)
        assert not one.is_inference()
    again = module._statistics_on_gpu((0.5, 0.4, 0.3), (0.1, 0.2, 0.3), torch.device("cpu"))
    assert again[0] is made[0]
