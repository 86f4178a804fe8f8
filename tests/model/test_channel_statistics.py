from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import tiny
from thaw.model.channel_statistics import expected, observed, shift


def images(count: int = 64, scale: float = 1.0, offset: float = 0.0) -> Tensor:
    drawn = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return drawn * scale + offset


def calibrated(data: Tensor) -> nn.Module:
    """Return a network whose running statistics are those of ``data``, layer by layer."""
    model = tiny.classifier()
    for block in model.blocks:
        with torch.no_grad():
            inputs = block[0](data)  # type: ignore[index]
            block[1].running_mean = inputs.mean((0, 2, 3))  # type: ignore[index]
            block[1].running_var = inputs.var((0, 2, 3), unbiased=False)  # type: ignore[index]
            data = block(data)
    return model


def seen(model: nn.Module, *batches: Tensor) -> float:
    before = expected(model)
    with observed(model, before) as moments, torch.no_grad():
        for batch in batches:
            model(batch)
    return shift(before, moments)


def test_every_batch_norm_is_expected_and_observed() -> None:
    model = tiny.classifier()
    before = expected(model)
    assert list(before) == ["blocks.0.1", "blocks.1.1", "blocks.2.1"]
    with observed(model, before) as moments, torch.no_grad():
        model(images())
    assert list(moments) == list(before)
    assert [moment.count for moment in moments.values()] == [64 * 64, 64 * 64, 64 * 16]


def test_the_moments_are_those_of_what_entered() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3))
    with observed(model.eval(), expected(model)) as moments:
        for part in torch.split(images(), 10):  # uneven batches
            model(part)
    everything = images().double()
    np.testing.assert_allclose(moments["0"].mean, everything.mean((0, 2, 3)), atol=1e-6)
    deviation = everything.var((0, 2, 3), unbiased=False).sqrt()
    np.testing.assert_allclose(moments["0"].std, deviation, atol=1e-6)


def test_the_data_that_the_statistics_are_of_is_not_shifted() -> None:
    assert seen(calibrated(images()), images()) < 1e-3


@pytest.mark.parametrize("offset", [0.5, 1.0, 2.0])
def test_an_offset_of_the_inputs_is_measured_in_standard_deviations(offset: float) -> None:
    model = nn.Sequential(nn.BatchNorm2d(3)).eval()
    found = seen(model, images(512, offset=offset))
    assert found == pytest.approx(offset, rel=0.05)


def test_the_distance_is_over_the_deviation_that_normalises() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3, eps=3.0)).eval()  # sqrt(1 + 3) = 2
    found = seen(model, images(512, scale=2.0, offset=1.0))
    assert found == pytest.approx(0.5, rel=0.05)


def test_a_further_shift_is_a_larger_one() -> None:
    model = calibrated(images())
    shifts = [seen(model, images(scale=s, offset=o)) for s, o in ((1, 0.2), (2, 0.5), (4, 1))]
    assert shifts == sorted(shifts)
    assert shifts[0] > 0.05


def test_nothing_is_watched_afterwards_and_without_batch_norm_nothing_is_shifted() -> None:
    model = tiny.classifier()
    with observed(model, expected(model)) as moments:
        pass
    model(images(2))
    assert not moments
    assert seen(nn.Sequential(nn.Conv2d(3, 4, 3)), images(2)) == 0.0


def test_a_channel_that_never_changes_has_no_deviation() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3)).eval()
    with observed(model, expected(model)) as moments:
        model(torch.full((4, 3, 8, 8), 3.0))
    np.testing.assert_array_equal(moments["0"].mean, [3.0] * 3)
    np.testing.assert_array_equal(moments["0"].std, [0.0] * 3)


def test_a_large_mean_costs_no_digits_of_the_deviation() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3)).eval()
    with observed(model, expected(model)) as moments:
        model(images(offset=1000.0))
    deviation = images().double().var((0, 2, 3), unbiased=False).sqrt()
    np.testing.assert_allclose(moments["0"].std, deviation, rtol=1e-3)


def test_only_the_first_images_and_every_second_position_are_observed_where_so_asked() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3)).eval()
    with observed(model, expected(model), first=10, stride=2) as moments:
        model(images())
    part = images()[:10, :, ::2, ::2].double()
    np.testing.assert_allclose(moments["0"].mean, part.mean((0, 2, 3)), atol=1e-6)
    assert moments["0"].count == 10 * 8 * 8


def test_moments_are_added_up_on_the_device_of_the_values() -> None:
    with torch.device("meta"):  # reading a value there is an error, as it is slow on a GPU
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        values = torch.zeros(2, 3, 8, 8)
    with observed(network, ["1"], ["0"], first=1, stride=2) as moments:
        network(values)
        network(values)
    assert {one.total.device.type for one in moments.values()} == {"meta"}
    together = moments["1"] + moments["1"]
    assert together.count == 2 * moments["1"].count == 2 * 2 * 9
