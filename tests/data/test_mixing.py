from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy.special import betaincinv
from scipy.stats import kstest
from torch import Tensor

from tests import settings
from thaw.data.device_stream import sent
from thaw.data.mixing import Mixing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

COUNT, CLASSES, SIDE = 40, 5, 24
IDS = np.arange(COUNT, dtype=np.int64) * 3 + 7
TARGETS = np.arange(COUNT, dtype=np.int64) % CLASSES
BOTH: dict[str, Any] = {"mixup": 0.4, "cutmix": 1.0}


def mixing(seed: int = 0, epoch: int = 1, count: int = COUNT, **alphas: Any) -> Mixing:
    ids, targets = np.resize(IDS, count), np.resize(TARGETS, count)
    if count > COUNT:
        ids = np.arange(count)
    return Mixing(ids, targets, CLASSES, seed, epoch, settings.augment(**alphas))


def images(places: Ints) -> Tensor:
    """Return images of one colour each, a different one for each index."""
    colours = torch.rand(10_000, 3, generator=torch.Generator().manual_seed(0))[places]
    return colours.view(-1, 3, 1, 1).repeat(1, 1, SIDE, SIDE)


def mixed(how: Mixing, places: Ints) -> tuple[Tensor, Tensor, Ints]:
    """Return mixed images, their targets, and the indices of the partners."""
    both = how.append_partners(places)
    return *how.mix(images(both), both), both[len(places) :]


def whole_masks(how: Mixing, places: Ints) -> Tensor:
    """Return the weight of each pixel (N, 1, S, S), from arrays with a value for each pixel."""
    draws, config = how._draw(places), how.config
    is_cutmix = draws["kind"] < (0.5 if config.mixup and config.cutmix else config.cutmix)
    alpha = np.where(is_cutmix, config.cutmix, config.mixup)
    fraction = betaincinv(alpha, alpha, draws["fraction"])
    inside, size, points = {}, np.sqrt(1 - fraction), np.arange(SIDE)
    for axis in ("x", "y"):
        first, last = (np.rint((draws[axis] + half * size) * SIDE) for half in (-0.5, 0.5))
        inside[axis] = (points >= first[:, None]) & (points < last[:, None])
    hole = inside["y"][:, :, None] & inside["x"][:, None, :]
    mask = np.where(is_cutmix[:, None, None], ~hole, fraction.astype(np.float32)[:, None, None])
    return torch.from_numpy(mask.astype(np.float32)).unsqueeze(1)


def own_fractions(how: Mixing, targets: Tensor, partners: Ints) -> NDArray[np.float64]:
    """Return the fraction of the own class; NaN where the partner is of the same class."""
    count = len(how.targets)
    own = targets[torch.arange(count), torch.from_numpy(how.targets)].double().numpy()
    return np.where(how.targets != how.targets[partners], own, np.nan)


# Partners


def test_partners_follow_the_images_and_come_from_the_whole_split() -> None:
    how = mixing(mixup=0.2, count=2000)
    both = how.append_partners(np.arange(2000))
    assert both.dtype == np.int64
    assert both[:2000].tolist() == list(range(2000))
    counts = np.bincount(both[2000:] // 100, minlength=20)
    assert counts.sum() == 2000
    assert counts.min() > 60
    assert counts.max() < 140


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 2}])
def test_another_seed_or_epoch_gives_other_partners_and_fractions(other: dict[str, Any]) -> None:
    places = np.arange(COUNT)
    one, two = (mixed(how, places) for how in (mixing(**BOTH), mixing(**other, **BOTH)))
    assert (one[2] != two[2]).mean() > 0.8
    assert not torch.equal(one[1], two[1])


def test_draws_depend_on_the_image_id_and_not_on_its_index() -> None:
    how = mixing(**BOTH)
    turned = Mixing(IDS[::-1].copy(), TARGETS[::-1].copy(), CLASSES, 0, 1, how.config)
    last = how.append_partners(np.array([COUNT - 1]))[1]
    assert turned.append_partners(np.array([0]))[1] == last


# Mixed images


@pytest.mark.parametrize("alphas", [{"mixup": 0.4}, {"cutmix": 1.0}, BOTH])
def test_an_image_is_mixed_in_the_same_way_in_any_batch(alphas: dict[str, Any]) -> None:
    how = mixing(**alphas)
    whole, targets, _ = mixed(how, np.arange(COUNT))
    for size in (1, 3, 8, 17):
        for places in np.array_split(np.random.default_rng(size).permutation(COUNT), COUNT // size):
            found, shared, _ = mixed(how, places)
            assert torch.equal(found, whole[places])
            assert torch.equal(shared, targets[places])


@pytest.mark.parametrize("alphas", [{"mixup": 0.4}, {"cutmix": 1.0}, BOTH])
def test_targets_are_the_fractions_of_the_two_classes_in_the_image(alphas: dict[str, Any]) -> None:
    places = np.arange(COUNT)
    found, targets, partners = mixed(mixing(**alphas), places)
    assert targets.shape == (COUNT, CLASSES)
    assert targets.dtype == torch.float32
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(COUNT))
    own, other = images(places)[:, :, 0, 0], images(partners)[:, :, 0, 0]
    means = found.mean(dim=(2, 3))
    for place in places:
        share = float(targets[place, TARGETS[place]])
        if TARGETS[place] == TARGETS[partners[place]]:
            assert share == pytest.approx(1)
            continue
        assert float(targets[place, TARGETS[partners[place]]]) == pytest.approx(1 - share, abs=1e-6)
        expected = own[place] * share + other[place] * (1 - share)
        torch.testing.assert_close(means[place], expected, rtol=1e-4, atol=1e-5)


def test_mixup_uses_one_fraction_for_all_pixels_of_an_image() -> None:
    found, _, _ = mixed(mixing(mixup=0.4), np.arange(COUNT))
    assert torch.equal(found, found[:, :, :1, :1].expand_as(found))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_fractions_of_mixup_have_the_beta_distribution(alpha: float) -> None:
    how = mixing(mixup=alpha, count=3000)
    found = own_fractions(how, *mixed(how, np.arange(3000))[1:])
    assert kstest(found[~np.isnan(found)], "beta", (alpha, alpha)).pvalue > 0.001


def test_cutmix_replaces_exactly_one_rectangle_by_that_of_the_partner() -> None:
    places = np.arange(COUNT)
    found, _, partners = mixed(mixing(cutmix=1.0), places)
    own, other = images(places), images(partners)
    sizes = []
    for place in places[partners != places]:
        is_own = (found[place] == own[place]).all(dim=0)
        is_other = (found[place] == other[place]).all(dim=0)
        assert bool((is_own ^ is_other).all())
        rows, columns = is_other.any(dim=1), is_other.any(dim=0)
        assert torch.equal(is_other, rows.unsqueeze(1) & columns)
        for line in (rows, columns):  # in one piece
            assert int(line.diff().sum()) <= 2
        sizes.append(float(is_other.double().mean()))
    assert min(sizes) < 0.1
    assert max(sizes) > 0.5


def test_the_rectangle_of_cutmix_is_a_square_cut_off_at_the_border() -> None:
    how = mixing(cutmix=1.0, count=3000)
    places = np.arange(3000)
    found, _, partners = mixed(how, places)
    inside = (found != images(places)).any(dim=1)[torch.from_numpy(partners != places)]
    height, width = inside.any(dim=2).sum(dim=1), inside.any(dim=1).sum(dim=1)
    touches = inside[:, [0, -1]].any(dim=(1, 2)) | inside[:, :, [0, -1]].any(dim=(1, 2))
    assert (height - width)[~touches].abs().max() <= 1
    assert bool((touches & (height != width)).any())
    cover = inside.double().mean(dim=0)
    torch.testing.assert_close(cover, cover.flip(0), rtol=0, atol=0.05)
    torch.testing.assert_close(cover, cover.T, rtol=0, atol=0.05)


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_the_areas_of_cutmix_follow_from_the_beta_distribution(alpha: float) -> None:
    how = mixing(cutmix=alpha, count=3000)
    found = own_fractions(how, *mixed(how, np.arange(3000))[1:])
    generator = np.random.default_rng(0)
    side = np.sqrt(1 - generator.beta(alpha, alpha, 100_000))
    centres = generator.random((2, 100_000))
    low, high = np.clip(centres - side / 2, 0, 1), np.clip(centres + side / 2, 0, 1)
    expected = 1 - (high - low).prod(axis=0)
    for quantile in (0.25, 0.5, 0.75):
        wanted = np.quantile(expected, quantile)
        assert np.nanquantile(found, quantile) == pytest.approx(wanted, abs=0.03)


def test_with_mixup_and_cutmix_each_image_gets_one_of_the_two() -> None:
    how = mixing(**BOTH, count=1000)
    found, _, _ = mixed(how, np.arange(1000))
    uniform = (found == found[:, :, :1, :1]).flatten(1).all(dim=1).double().mean()
    assert 0.45 < uniform < 0.62  # CutMix with a tiny rectangle changes nothing either


@pytest.mark.parametrize("alphas", [{"mixup": 0.2}, {"cutmix": 1.0}, BOTH])
def test_regions_give_the_bits_of_whole_masks(alphas: dict[str, Any]) -> None:
    how = mixing(**alphas, count=500)
    places = np.arange(500)
    both = how.append_partners(places)
    pairs = torch.rand(1000, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    masks = whole_masks(how, places)
    assert torch.equal(how.mix(pairs, both)[0], pairs[:500] * masks + pairs[500:] * (1 - masks))


def test_only_a_few_values_of_an_image_are_copied_to_a_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copied = []

    def note(values: Tensor, device: torch.device) -> Tensor:
        copied.append(values.nbytes)
        return sent(values, device)

    monkeypatch.setattr("thaw.data.mixing.sent", note)
    how = mixing(**BOTH)
    both = how.append_partners(np.arange(COUNT))
    found, targets = how.mix(torch.empty(2 * COUNT, 3, 224, 224, device="meta"), both)
    assert copied == [COUNT * 5 * 4]
    assert (found.device.type, found.shape) == ("meta", (COUNT, 3, 224, 224))
    assert torch.equal(targets, how.mix(torch.empty(2 * COUNT, 3, 224, 224), both)[1])


def test_a_split_of_one_image_is_mixed_with_itself() -> None:
    how = Mixing(np.array([9]), np.array([2]), CLASSES, 0, 1, settings.augment(**BOTH))
    found, targets, partners = mixed(how, np.array([0]))
    assert partners.tolist() == [0]
    torch.testing.assert_close(found, images(np.array([0])))
    assert targets.tolist() == [[0, 0, 1, 0, 0]]


@pytest.mark.gpu
def test_a_gpu_mixes_in_the_same_way_as_a_cpu() -> None:
    how = mixing(**BOTH)
    both = how.append_partners(np.arange(COUNT))
    found, targets = how.mix(images(both).cuda(), both)
    expected, shared = how.mix(images(both), both)
    torch.testing.assert_close(found.cpu(), expected)
    assert torch.equal(targets.cpu(), shared)
