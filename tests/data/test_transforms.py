from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests import settings
from thaw.data.transforms import Preprocessing, augment

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.config import Augment

    Pixels = NDArray[np.uint8]

OFF = {"flip": 0.0, "rotate": 0.0, "shift": 0.0, "zoom": 0.0, "brightness": 0.0, "contrast": 0.0}
ALL = settings.augment(flip=0.5, rotate=20.0, shift=0.1, zoom=0.2, brightness=0.2, contrast=0.2)
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


def only(**changes: float) -> Augment:
    return settings.augment(**changes)


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def planes(image: Pixels) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def inputs(count: int, side: int = 16) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def ids(count: int) -> NDArray[np.int64]:
    return np.arange(100, 100 + count)


# Resize


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_the_right_size_stays_as_it_is(mode: str) -> None:
    image = noise(32, 32)
    assert torch.equal(preprocessing(interpolation=mode).resize([image])[0], planes(image))


@pytest.mark.parametrize("shape", [(32, 64), (64, 32), (32, 33), (45, 32)])
def test_the_centre_is_cut_out_of_an_image_that_is_not_square(shape: tuple[int, int]) -> None:
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
def test_images_of_mixed_shapes_give_the_same_as_one_at_a_time(mode: str, crop_pct: float) -> None:
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


def test_preprocessing_comes_back_from_json() -> None:
    original = preprocessing(interpolation="bicubic", crop_pct=0.875)
    assert Preprocessing.model_validate_json(original.model_dump_json()) == original


def test_preprocessing_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError):
        preprocessing(antialias=False)


# Augmentation


@pytest.mark.parametrize("side", [15, 16, 224])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("changes", [OFF | {"rotate": 20.0, "zoom": 0.2}, ALL.model_dump()])
def test_an_image_is_changed_alike_in_any_batch(
    side: int, layout: torch.memory_format, changes: dict[str, float]
) -> None:
    config = settings.augment(**changes)
    images = inputs(9, side).contiguous(memory_format=layout)
    names = ids(9)
    whole = augment(images, names, 3, 7, config)
    order = np.array([4, 0, 8, 2, 6, 1, 7, 3, 5])
    assert torch.equal(augment(images[order], names[order], 3, 7, config), whole[order])
    assert torch.equal(augment(images[2:7], names[2:7], 3, 7, config), whole[2:7])
    for place in range(9):
        alone = augment(images[place : place + 1], names[place : place + 1], 3, 7, config)
        assert torch.equal(alone[0], whole[place])


def test_a_repeated_image_is_changed_alike() -> None:
    found = augment(inputs(1).expand(3, -1, -1, -1), np.array([5, 5, 6]), 0, 0, ALL)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize(("seed", "epoch"), [(1, 0), (0, 1), (1, 1)])
def test_another_seed_or_epoch_changes_images_otherwise(seed: int, epoch: int) -> None:
    images = inputs(4)
    first = augment(images, ids(4), 0, 0, ALL)
    other = augment(images, ids(4), epoch, seed, ALL)
    assert all(not torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_seed_and_epoch_are_not_mixed_up() -> None:
    images = inputs(2)
    assert not torch.equal(augment(images, ids(2), 2, 1, ALL), augment(images, ids(2), 1, 2, ALL))


def test_images_are_not_changed_by_torchs_own_random_state() -> None:
    images = inputs(4)
    torch.manual_seed(1)
    first = augment(images, ids(4), 0, 0, ALL)
    torch.manual_seed(2)
    assert torch.equal(augment(images, ids(4), 0, 0, ALL), first)


def test_all_zeros_is_the_identity() -> None:
    images = inputs(4)
    assert torch.equal(augment(images, ids(4), 3, 7, only()), images)
    assert not only().active


@pytest.mark.parametrize("knob", OFF)
def test_each_knob_alone_changes_images_and_keeps_their_range(knob: str) -> None:
    config = only(**{knob: 0.5})
    images = inputs(8)
    found = augment(images, ids(8), 0, 0, config)
    assert config.active
    assert not torch.equal(found, images)
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_input_is_not_changed_in_place() -> None:
    images = inputs(4)
    before = images.clone()
    augment(images, ids(4), 0, 0, ALL)
    assert torch.equal(images, before)


@pytest.mark.parametrize("side", [8, 15, 64, 224])
def test_flip_1_mirrors_every_image_exactly(side: int) -> None:
    images = inputs(4, side)
    assert torch.equal(augment(images, ids(4), 0, 0, only(flip=1.0)), images.flip(-1))


def test_flip_mirrors_its_share_of_the_images() -> None:
    images = inputs(400, 8)
    found = augment(images, ids(400), 0, 0, only(flip=0.3))
    mirrored = [torch.equal(one, two) for one, two in zip(found, images.flip(-1), strict=True)]
    same = [torch.equal(one, two) for one, two in zip(found, images, strict=True)]
    assert all(one != two for one, two in zip(mirrored, same, strict=True))
    assert 0.23 < np.mean(mirrored) < 0.37


def dot(side: int, down: int, across: int) -> Tensor:
    """A bright blob on black, whose place can be measured."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    blob = torch.exp(-((rows - down) ** 2 + (columns - across) ** 2) / 8.0)
    return blob.expand(1, 3, side, side)


def places(images: Tensor) -> NDArray[np.float64]:
    """(down, across) of the blob in each image, from the centre, in pixels."""
    side = images.shape[-1]
    axis = torch.arange(side) - (side - 1) / 2
    weights = images[:, 0] / images[:, 0].sum(dim=(1, 2), keepdim=True)
    down = (weights.sum(dim=2) * axis).sum(dim=1)
    across = (weights.sum(dim=1) * axis).sum(dim=1)
    return np.asarray(torch.stack([down, across], dim=1), dtype=np.float64)


def test_rotation_turns_about_the_centre_by_up_to_its_degrees_either_way() -> None:
    images = dot(65, 32, 48).expand(300, -1, -1, -1)
    found = places(augment(images, ids(300), 0, 0, only(rotate=30.0)))
    angles = np.degrees(np.arctan2(found[:, 0], found[:, 1]))
    assert np.abs(np.hypot(*found.T) - 16).max() < 0.2
    assert np.abs(angles).max() < 30.5
    assert angles.min() < -25
    assert angles.max() > 25


def test_shift_moves_by_up_to_its_share_of_the_side_either_way() -> None:
    images = dot(65, 32, 32).expand(300, -1, -1, -1)
    found = places(augment(images, ids(300), 0, 0, only(shift=0.2)))
    for axis in (0, 1):
        assert np.abs(found[:, axis]).max() < 0.2 * 65 + 0.3
        assert found[:, axis].min() < -0.17 * 65
        assert found[:, axis].max() > 0.17 * 65
    assert abs(np.mean(found[:, 0] * found[:, 1])) < 0.2 * found[:, 0].std() * found[:, 1].std()


def test_zoom_scales_by_up_to_its_share_either_way() -> None:
    images = dot(65, 32, 48).expand(300, -1, -1, -1)
    found = places(augment(images, ids(300), 0, 0, only(zoom=0.25)))[:, 1] / 16
    assert found.min() == pytest.approx(1 / 1.25, abs=0.03)
    assert found.max() == pytest.approx(1.25, abs=0.03)


def test_brightness_moves_the_mean_by_up_to_its_share_either_way() -> None:
    images = inputs(1).mul(0.2).add(0.4).expand(300, -1, -1, -1)
    moved = augment(images, ids(300), 0, 0, only(brightness=0.3)) - images
    assert moved.flatten(1).std(dim=1).max() < 1e-6
    assert moved.min() == pytest.approx(-0.3, abs=0.02)
    assert moved.max() == pytest.approx(0.3, abs=0.02)


def test_contrast_scales_about_the_images_own_mean() -> None:
    images = inputs(1).mul(0.2).add(0.4).expand(300, -1, -1, -1)
    found = augment(images, ids(300), 0, 0, only(contrast=0.3))
    gains = found.flatten(1).std(dim=1) / images.flatten(1).std(dim=1)
    torch.testing.assert_close(found.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)))
    assert gains.min() == pytest.approx(0.7, abs=0.02)
    assert gains.max() == pytest.approx(1.3, abs=0.02)


def test_a_knob_does_not_change_what_another_draws() -> None:
    images = inputs(50, 8)
    flipped = augment(images, ids(50), 0, 0, only(flip=0.5))
    brighter = augment(images, ids(50), 0, 0, only(flip=0.5, brightness=0.01))
    assert (flipped - brighter).abs().max() < 0.02
