from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import RandAugment

from tests import settings
from thaw.data.augmentation import _border_colour, _random_operation, augment, needs_cpu

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.config.data_sections import FixedAugment

# Each random change of one image, strong enough to be measured.
STRENGTHS: dict[str, float] = {
    "crop": 0.5,
    "flip": 0.5,
    "rotate": 20.0,
    "shift": 0.1,
    "zoom": 0.2,
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.5,
    "hue": 0.2,
    "tint": 0.2,
    "randaugment": 2,
    "noise": 0.1,
}
ALL = settings.augment(**STRENGTHS, randaugment_magnitude=15)


def only(**changes: float) -> FixedAugment:
    return settings.augment(**changes)


def inputs(count: int, side: int = 16) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def ids(count: int) -> NDArray[np.int64]:
    return np.arange(100, 100 + count)


def colour(*values: float, count: int = 300, side: int = 8) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1).repeat(count, 1, side, side)


# All changes


@pytest.mark.parametrize("side", [15, 16, 224])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("config", [only(rotate=20.0, zoom=0.2), ALL], ids=["some", "all"])
def test_an_image_is_changed_in_the_same_way_in_any_batch(
    side: int, layout: torch.memory_format, config: FixedAugment
) -> None:
    images = inputs(9, side).contiguous(memory_format=layout)
    names = ids(9)
    whole = augment(images, names, 3, 7, config)
    order = np.array([4, 0, 8, 2, 6, 1, 7, 3, 5])
    assert torch.equal(augment(images[order], names[order], 3, 7, config), whole[order])
    assert torch.equal(augment(images[2:7], names[2:7], 3, 7, config), whole[2:7])
    for place in range(9):
        alone = augment(images[place : place + 1], names[place : place + 1], 3, 7, config)
        assert torch.equal(alone[0], whole[place])


def test_an_image_is_changed_in_the_same_way_in_a_batch_of_any_size() -> None:
    images, names = inputs(67, 9), ids(67)
    whole = augment(images, names, 3, 7, ALL)
    for size in (2, 3, 8, 16, 31, 64):
        for start in range(0, 67, size):
            part = slice(start, start + size)
            assert torch.equal(augment(images[part], names[part], 3, 7, ALL), whole[part])


def test_a_repeated_image_is_changed_in_the_same_way() -> None:
    found = augment(inputs(1).expand(3, -1, -1, -1), np.array([5, 5, 6]), 0, 0, ALL)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize(("seed", "epoch"), [(1, 0), (0, 1), (1, 1)])
def test_another_seed_or_epoch_changes_images_in_another_way(seed: int, epoch: int) -> None:
    images = inputs(4)
    first = augment(images, ids(4), 0, 0, ALL)
    other = augment(images, ids(4), epoch, seed, ALL)
    assert all(not torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_exchanging_seed_and_epoch_changes_the_images() -> None:
    images = inputs(2)
    assert not torch.equal(augment(images, ids(2), 2, 1, ALL), augment(images, ids(2), 1, 2, ALL))


def test_the_random_state_of_torch_has_no_effect_and_is_not_changed() -> None:
    images = inputs(4)
    torch.manual_seed(1)
    first = augment(images, ids(4), 0, 0, ALL)
    torch.manual_seed(2)
    expected = torch.rand(3)
    torch.manual_seed(2)
    assert torch.equal(augment(images, ids(4), 0, 0, ALL), first)
    assert torch.equal(torch.rand(3), expected)


def test_strengths_of_zero_change_nothing() -> None:
    images = inputs(4)
    assert torch.equal(augment(images, ids(4), 3, 7, only()), images)
    assert not only().active


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_parameter_alone_changes_images_and_keeps_their_range(name: str) -> None:
    config = only(**{name: STRENGTHS[name]})
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


def test_flip_mirrors_the_given_fraction_of_the_images() -> None:
    images = inputs(400, 8)
    found = augment(images, ids(400), 0, 0, only(flip=0.3))
    mirrored = [torch.equal(one, two) for one, two in zip(found, images.flip(-1), strict=True)]
    same = [torch.equal(one, two) for one, two in zip(found, images, strict=True)]
    assert all(one != two for one, two in zip(mirrored, same, strict=True))
    assert 0.23 < np.mean(mirrored) < 0.37


def dot(side: int, down: int, across: int) -> Tensor:
    """Return images of a bright blob on black, whose position can be measured."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    blob = torch.exp(-((rows - down) ** 2 + (columns - across) ** 2) / 8.0)
    return blob.expand(1, 3, side, side)


def places(images: Tensor) -> NDArray[np.float64]:
    """Return (down, across) of the blob in each image, from the centre, in pixels."""
    side = images.shape[-1]
    axis = torch.arange(side) - (side - 1) / 2
    weights = images[:, 0] / images[:, 0].sum(dim=(1, 2), keepdim=True)
    down = (weights.sum(dim=2) * axis).sum(dim=1)
    across = (weights.sum(dim=1) * axis).sum(dim=1)
    return np.asarray(torch.stack([down, across], dim=1), dtype=np.float64)


def test_rotate_turns_about_the_centre_by_up_to_the_given_angle_in_both_directions() -> None:
    images = dot(65, 32, 48).expand(300, -1, -1, -1)
    found = places(augment(images, ids(300), 0, 0, only(rotate=30.0)))
    angles = np.degrees(np.arctan2(found[:, 0], found[:, 1]))
    assert np.abs(np.hypot(*found.T) - 16).max() < 0.2
    assert np.abs(angles).max() < 30.5
    assert angles.min() < -25
    assert angles.max() > 25


def test_shift_moves_by_up_to_the_given_fraction_of_the_side_in_both_directions() -> None:
    images = dot(65, 32, 32).expand(300, -1, -1, -1)
    found = places(augment(images, ids(300), 0, 0, only(shift=0.2)))
    for axis in (0, 1):
        assert np.abs(found[:, axis]).max() < 0.2 * 65 + 0.3
        assert found[:, axis].min() < -0.17 * 65
        assert found[:, axis].max() > 0.17 * 65
    assert abs(np.mean(found[:, 0] * found[:, 1])) < 0.2 * found[:, 0].std() * found[:, 1].std()


def test_zoom_enlarges_and_shrinks_by_up_to_the_given_fraction() -> None:
    images = dot(65, 32, 48).expand(300, -1, -1, -1)
    found = places(augment(images, ids(300), 0, 0, only(zoom=0.25)))[:, 1] / 16
    assert found.min() == pytest.approx(1 / 1.25, abs=0.03)
    assert found.max() == pytest.approx(1.25, abs=0.03)


def test_brightness_moves_the_mean_by_up_to_the_given_amount_in_both_directions() -> None:
    images = inputs(1).mul(0.2).add(0.4).expand(300, -1, -1, -1)
    moved = augment(images, ids(300), 0, 0, only(brightness=0.3)) - images
    assert moved.flatten(1).std(dim=1).max() < 1e-6
    assert moved.min() == pytest.approx(-0.3, abs=0.02)
    assert moved.max() == pytest.approx(0.3, abs=0.02)


def test_contrast_scales_about_the_mean_of_the_image() -> None:
    images = inputs(1).mul(0.2).add(0.4).expand(300, -1, -1, -1)
    found = augment(images, ids(300), 0, 0, only(contrast=0.3))
    gains = found.flatten(1).std(dim=1) / images.flatten(1).std(dim=1)
    torch.testing.assert_close(found.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)))
    assert gains.min() == pytest.approx(0.7, abs=0.02)
    assert gains.max() == pytest.approx(1.3, abs=0.02)


def ramps(side: int) -> Tensor:
    """Return an image whose colour gives the position: red grows to the right, green downwards."""
    axis = (torch.arange(side) + 0.5) / side
    red, green = axis.expand(side, side), axis.unsqueeze(1).expand(side, side)
    return torch.stack([red, green, torch.zeros(side, side)]).unsqueeze(0)


@pytest.mark.parametrize("crop", [0.1, 0.5, 0.9])
def test_a_crop_is_a_window_of_the_image(crop: float) -> None:
    side, count = 33, 600
    found = augment(ramps(side).expand(count, -1, -1, -1), ids(count), 0, 0, only(crop=crop))
    across, down = found[:, 0, 16].double().numpy(), found[:, 1, :, 16].double().numpy()
    width, height = ((axis[:, 24] - axis[:, 8]) / 16 * side for axis in (across, down))
    area, ratio = width * height, width / height
    assert 1 - crop - 1e-3 <= area.min() < 1 - 0.95 * crop
    assert area.mean() == pytest.approx(1 - crop / 2, abs=0.05 * crop)
    assert np.abs(np.log(ratio)).max() <= np.log(4 / 3) + 1e-3
    for axis, size in ((across, width), (down, height)):
        first = axis[:, 16] - size / 2
        assert first.min() > -1e-3
        assert (first + size).max() < 1 + 1e-3
        room = 1 - size
        place = first[room > 0.02] / room[room > 0.02]  # 0: at one end, 1: at the other
        assert place.mean() == pytest.approx(0.5, abs=0.06)
        assert place.std() == pytest.approx(12**-0.5, abs=0.03)


def test_the_aspect_ratio_of_a_crop_is_log_uniform_where_it_fits() -> None:
    found = augment(ramps(33).expand(900, -1, -1, -1), ids(900), 0, 0, only(crop=0.9))
    width = (found[:, 0, 16, 24] - found[:, 0, 16, 8]).double().numpy() / 16 * 33
    height = (found[:, 1, 24, 16] - found[:, 1, 8, 16]).double().numpy() / 16 * 33
    logs = np.log(width / height)[width * height < 0.7]
    assert logs.mean() == pytest.approx(0, abs=0.02)
    assert logs.std() == pytest.approx(np.log(4 / 3) / 3**0.5, abs=0.01)


def test_a_crop_is_rotated_about_its_own_centre() -> None:
    images = ramps(33).expand(50, -1, -1, -1)
    cropped = augment(images, ids(50), 0, 0, only(crop=0.6))
    turned = augment(images, ids(50), 0, 0, only(crop=0.6, rotate=5.0))
    centre = (slice(None), slice(0, 2), 16, 16)
    torch.testing.assert_close(turned[centre], cropped[centre], rtol=0, atol=1e-4)
    assert not torch.equal(turned, cropped)


def luminance(images: Tensor) -> Tensor:
    return (images * torch.tensor([0.213, 0.715, 0.072]).view(1, 3, 1, 1)).sum(dim=1)


@pytest.mark.parametrize("name", [{"saturation": 0.9}, {"hue": 0.5}])
def test_saturation_and_hue_change_neither_greys_nor_luminance(name: dict[str, float]) -> None:
    greys = inputs(20)[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(augment(greys, ids(20), 0, 0, only(**name)), greys)
    images = inputs(20) * 0.1 + 0.45  # so that nothing is cut off at 0 and 1
    found = augment(images, ids(20), 0, 0, only(**name))
    # the standard gives the matrices to three decimals
    torch.testing.assert_close(luminance(found), luminance(images), rtol=0, atol=2e-4)
    assert (found - images).abs().flatten(1).max(dim=1).values.min() > 1e-4


def test_saturation_scales_colour_by_up_to_the_given_fraction() -> None:
    images = colour(0.6, 0.4, 0.5)
    found = augment(images, ids(300), 0, 0, only(saturation=0.4))
    gains = (found[:, 0] - luminance(found)) / (images[:, 0] - luminance(images))
    assert gains.min() == pytest.approx(0.6, abs=0.02)
    assert gains.max() == pytest.approx(1.4, abs=0.02)


@pytest.mark.parametrize(("hue", "largest"), [(0.05, {0}), (0.4, {0, 1, 2}), (0.5, {0, 1, 2})])
def test_hue_rotates_colours_by_up_to_the_given_fraction_of_the_circle(
    hue: float, largest: set[int]
) -> None:
    found = augment(colour(0.6, 0.45, 0.45), ids(300), 0, 0, only(hue=hue))
    assert set(found[:, :, 0, 0].argmax(dim=1).tolist()) == largest


def test_a_hue_rotation_by_half_a_circle_gives_the_opposite_colour() -> None:
    images = colour(0.6, 0.45, 0.5)
    found = augment(images, ids(300), 0, 0, only(hue=0.5))
    opposite = 2 * luminance(images).unsqueeze(1) - images
    assert (found - opposite).abs().flatten(1).max(dim=1).values.min() < 0.01


def test_tint_changes_each_channel_on_its_own_and_colours_greys() -> None:
    greys = (inputs(300)[:, :1] * 0.2 + 0.4).expand(-1, 3, -1, -1)
    found = augment(greys, ids(300), 0, 0, only(tint=0.2))
    moved = found.mean(dim=(2, 3)) - greys.mean(dim=(2, 3))
    assert moved.min() == pytest.approx(-0.2, abs=0.01)
    assert moved.max() == pytest.approx(0.2, abs=0.01)
    assert abs(float(torch.corrcoef(moved.T)[0, 1])) < 0.2
    gains = found.std(dim=(2, 3)) / greys.std(dim=(2, 3))
    assert gains.min() == pytest.approx(0.8, abs=0.01)
    assert gains.max() == pytest.approx(1.2, abs=0.01)


def test_noise_is_gaussian_and_differs_between_images_and_epochs() -> None:
    images = torch.full((20, 3, 32, 32), 0.5)
    first, other = (augment(images, ids(20), e, 0, only(noise=0.05)) - 0.5 for e in (0, 1))
    assert first.mean() == pytest.approx(0, abs=0.001)
    assert first.std() == pytest.approx(0.05, abs=0.001)
    assert ((first / 0.05) ** 4).mean() == pytest.approx(3, abs=0.15)
    together = torch.cat([first, other]).flatten(1)
    assert torch.corrcoef(together).fill_diagonal_(0).abs().max() < 0.08


@pytest.mark.parametrize("values", [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.2, 0.9, 0.5)])
def test_randaugment_adds_no_other_colour_and_no_line_at_the_border(
    values: tuple[float, float, float],
) -> None:
    images = colour(*values, count=100, side=24)
    found = augment(images, ids(100), 0, 0, only(randaugment=3, randaugment_magnitude=20))
    spread = found.flatten(2).max(dim=2).values - found.flatten(2).min(dim=2).values
    assert spread.max() < 1e-5


def test_randaugment_applies_the_given_number_of_operations() -> None:
    images = inputs(1, 24).expand(200, -1, -1, -1)
    moved = [
        (augment(images, ids(200), 0, 0, only(randaugment=n, randaugment_magnitude=9)) != images)
        .flatten(1)
        .any(dim=1)
        .double()
        .mean()
        for n in (1, 3)
    ]
    assert 0.75 < moved[0] < 0.97  # of 14 operations one is the identity, some find nothing to do
    assert moved[1] > 0.98


def test_randaugment_is_stronger_with_a_larger_magnitude() -> None:
    images = dot(33, 16, 16).expand(100, -1, -1, -1)
    weak, strong = (
        augment(images, ids(100), 0, 0, only(randaugment=1, randaugment_magnitude=m)) - images
        for m in (3, 30)
    )
    assert strong.abs().mean() > 2 * weak.abs().mean()


def test_one_parameter_does_not_change_the_draws_of_another() -> None:
    images = inputs(50, 8)
    flipped = augment(images, ids(50), 0, 0, only(flip=0.5))
    brighter = augment(images, ids(50), 0, 0, only(flip=0.5, brightness=0.01))
    assert (flipped - brighter).abs().max() < 0.02


# In batches, as on a GPU

BATCHED = {name: STRENGTHS[name] for name in STRENGTHS if name not in {"noise", "randaugment"}}


@pytest.mark.parametrize(
    "changes", [*({name: BATCHED[name]} for name in BATCHED), BATCHED], ids=str
)
@pytest.mark.parametrize("side", [24, 224])
def test_images_are_changed_in_batches_as_they_are_one_by_one(
    changes: dict[str, float], side: int
) -> None:
    images, config = inputs(5, side), only(**changes)
    found = augment(images, ids(5), 3, 7, config, in_batches=True)
    torch.testing.assert_close(found, augment(images, ids(5), 3, 7, config), rtol=0, atol=2e-4)


def test_changes_that_draw_from_a_generator_need_the_cpu() -> None:
    assert [name for name in STRENGTHS if needs_cpu(only(**{name: STRENGTHS[name]}))] == [
        "randaugment",
        "noise",
    ]


@pytest.mark.parametrize("magnitude", [3, 15, 30])
def test_randaugment_is_that_of_torchvision(magnitude: int) -> None:
    image = inputs(1, 16)[0]
    for seed in range(60):
        torch.manual_seed(seed)
        expected = RandAugment(1, magnitude, fill=_border_colour(image))(image)
        generator = torch.Generator().manual_seed(seed)
        assert torch.equal(_random_operation(image, magnitude, generator), expected)


def test_several_threads_change_images_in_the_same_way_as_one() -> None:
    images, config = inputs(24), only(randaugment=2, randaugment_magnitude=15, noise=0.1)
    expected = augment(images, ids(24), 3, 7, config)

    def change(place: int) -> Tensor:
        part = slice(place, place + 1)
        torch.default_generator.manual_seed(place)  # as a training step does at any moment
        return augment(images[part], ids(24)[part], 3, 7, config)

    with ThreadPoolExecutor(4) as pool:
        assert torch.equal(torch.cat(list(pool.map(change, range(24)))), expected)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "changes", [*({name: BATCHED[name]} for name in BATCHED), BATCHED], ids=str
)
def test_a_gpu_changes_images_in_the_same_way_as_a_cpu(changes: dict[str, float]) -> None:
    images, config = inputs(9, 224), only(**changes)
    found = augment(images.cuda(), ids(9), 0, 0, config, in_batches=True).cpu()
    torch.testing.assert_close(found, augment(images, ids(9), 0, 0, config), rtol=0, atol=2e-4)


@pytest.mark.gpu
def test_an_image_is_changed_in_the_same_way_in_any_batch_on_a_gpu() -> None:
    images, names, config = inputs(9, 24).cuda(), ids(9), only(**BATCHED)
    whole = augment(images, names, 3, 7, config, in_batches=True)
    for place in range(9):
        part = slice(place, place + 1)
        alone = augment(images[part], names[part], 3, 7, config, in_batches=True)
        torch.testing.assert_close(alone, whole[part], rtol=0, atol=1e-5)
