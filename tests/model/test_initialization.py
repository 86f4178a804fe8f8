from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from thaw.model import initialization
from thaw.model.initialization import gabor_bank


def spread(weight: Tensor) -> float:
    return float(weight.detach().std())


def network() -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 32, 5),
        nn.BatchNorm2d(32),
        nn.Conv2d(32, 64, 3, groups=32),
        nn.LayerNorm(5),
        nn.Flatten(),
        nn.Linear(320, 200),
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_he_is_normal_with_the_variance_of_the_paper(seed: int) -> None:
    model = network()
    initialization.scratch(model, "he", seed)
    convolution, depthwise, linear = model[0], model[2], model[5]
    assert spread(convolution.weight) == pytest.approx(math.sqrt(2 / (32 * 25)), rel=0.05)
    assert spread(depthwise.weight) == pytest.approx(math.sqrt(2 / (2 * 9)), rel=0.1)
    assert spread(linear.weight) == pytest.approx(math.sqrt(2 / 320), rel=0.02)
    assert float(linear.weight.detach().abs().max()) > 3 * math.sqrt(2 / 320)
    assert not linear.bias.any()


def test_glorot_is_uniform_with_the_bound_of_the_paper() -> None:
    model = network()
    initialization.scratch(model, "glorot", 0)
    for module, fans in ((model[0], (3 + 32) * 25), (model[2], 9 + 2 * 9), (model[5], 520)):
        bound = math.sqrt(6 / fans)
        assert bound * 0.97 < float(module.weight.detach().abs().max()) <= bound
        assert spread(module.weight) == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_norms_start_as_the_identity_whatever_they_were() -> None:
    model = network()
    for parameter in [*model[1].parameters(), *model[3].parameters(), model[1].running_var]:
        nn.init.constant_(parameter, 7.0)
    initialization.scratch(model, "he", 0)
    for norm in (model[1], model[3]):
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()
    assert (model[1].running_var == 1).all()
    assert (model[1].running_mean == 0).all()


def test_the_draw_is_a_function_of_the_seed() -> None:
    states = []
    for seed in (0, 0, 1):
        model = network()
        initialization.scratch(model, "he", seed)
        states.append(model[5].weight)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_activations_keep_their_scale_through_twenty_layers_of_he() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(layer for _ in range(20) for layer in (nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()))
    )
    initialization.scratch(model, "he", 0)
    with torch.no_grad():
        outputs = model(torch.randn(2, 32, 16, 16))
    assert 0.02 < float(outputs.square().mean()) < 50  # torch's own default ends near 1e-10


def test_nothing_is_drawn_inside_no_draws() -> None:
    before = torch.random.get_rng_state()
    with initialization.SkipInitialization():
        linear, norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
        nn.init.trunc_normal_(linear.weight)
        nn.Conv2d(1, 2, 3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(norm.weight, torch.ones(4))  # what is no draw is done
    assert spread(nn.Linear(30, 40).weight) > 0  # and outside all is as ever


@pytest.mark.parametrize(
    ("mean", "low", "high"), [(0.0, -2.0, 2.0), (3.0, 2.0, 4.0), (0.0, 1.0, 1.1)]
)
def test_truncated_normal_weights_end_within_their_bounds_without_initialization(
    mean: float, low: float, high: float
) -> None:
    """Start from values out of bounds, which torch draws again until they are within bounds."""
    weight = torch.full((3, 4), 1e30)
    with initialization.SkipInitialization():
        nn.init.trunc_normal_(weight, mean, 1.0, low, high)
    assert bool(((weight >= low) & (weight <= high)).all())


@pytest.mark.parametrize(("count", "size"), [(6, 5), (32, 3), (64, 7), (64, 11), (1, 3)])
def test_gabor_filters_have_no_mean_and_are_all_different(count: int, size: int) -> None:
    bank = gabor_bank(count, size, size)
    assert bank.shape == (count, size, size)
    assert float(bank.sum(dim=(1, 2)).abs().max()) < 1e-5
    flat = nn.functional.normalize(bank.flatten(1), dim=1)
    likeness = flat @ flat.T - torch.eye(count)
    assert float(likeness.max()) < 0.99999


def test_gabor_filters_answer_to_gratings_of_their_own_angle() -> None:
    count, size = 64, 11
    bank = gabor_bank(count, size, size)
    y, x = torch.meshgrid(torch.arange(size) - 5.0, torch.arange(size) - 5.0, indexing="ij")
    angles = torch.arange(16) * math.pi / 16
    waves = 2 * math.pi / size * (x * angles.cos()[:, None, None] + y * angles.sin()[:, None, None])
    # an even and an odd filter side by side do not care for the phase of the grating
    even, odd = bank[0::4].flatten(1), bank[1::4].flatten(1)
    answers = sum(
        (part @ shape.flatten(1).T) ** 2
        for part in (even, odd)
        for shape in (waves.cos(), waves.sin())
    )
    assert torch.is_tensor(answers)
    assert answers.argmax(dim=1).tolist() == list(range(16))


def test_gabor_keeps_each_filters_norm_and_looks_at_all_channels_alike() -> None:
    model = network()
    initialization.scratch(model, "he", 0)
    before = model[0].weight.detach().clone()
    initialization.gabor(model)
    after = model[0].weight.detach()
    torch.testing.assert_close(after.flatten(1).norm(dim=1), before.flatten(1).norm(dim=1))
    assert torch.equal(after[:, 0], after[:, 2])


@pytest.mark.parametrize(
    ("model", "message"),
    [(nn.Conv2d(3, 8, 2), "2 x 2 is too small"), (nn.Linear(3, 8), "no convolution")],
)
def test_gabor_needs_a_kernel_that_can_hold_a_wave(model: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        initialization.gabor(nn.Sequential(model))


def test_seeded_draws_touch_no_generator_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: object) -> None:
        raise AssertionError("a generator of a GPU was used")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("get_rng_state", "set_rng_state", "manual_seed", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, touched)
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with initialization.seeded(5):
            draws.append(torch.rand(3))
    assert torch.equal(*draws)
    assert torch.equal(torch.get_rng_state(), before)
    with initialization.seeded(6):
        assert not torch.equal(torch.rand(3), draws[0])
