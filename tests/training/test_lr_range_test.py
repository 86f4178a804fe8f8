from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests import settings, tiny
from tests.training import phase
from tests.training.greedy import greedy
from thaw.errors import ThawError
from thaw.training import lr_range_test
from thaw.training.lr_range_test import Sweep
from thaw.training.out_of_memory import MemoryShortageError
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.data.loading import ImageSource
    from thaw.model.classifier import Classifier
    from thaw.training.lr_range_test import Rates


@pytest.fixture
def train(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "train")


def find(model: Classifier, train: ImageSource, accumulate: Any = 1, **changes: Any) -> Rates:
    setup = TrainingSetup(
        phase.config(), settings.regularize(), phase.SEED, lr_decay=0.5, accumulate=accumulate
    )
    inputs = PhaseInputs(train, train, 0)
    return lr_range_test.find(tiny.runtime(), model, inputs, setup, Sweep(**changes))


def test_the_rate_rises_by_the_same_factor_over_as_many_epochs_as_it_takes(
    train: ImageSource,
) -> None:
    found = find(phase.model(), train, steps=21, low=1e-6, high=1e-2)  # five batches an epoch
    assert found.rates == pytest.approx([1e-6 * 10 ** (i / 5) for i in range(21)])
    assert found.losses[0] == pytest.approx(1.12, abs=0.2)
    assert found.losses[-1] < found.losses[0]
    assert found.tenth == found.rates[found.losses.index(min(found.losses))] / 10


@pytest.mark.parametrize("policy", phase.POLICIES)
def test_the_classifier_comes_out_as_it_came_in_to_the_bit(train: ImageSource, policy: Any) -> None:
    model = phase.model(2, policy, dropout=0.5)
    before, plan = phase.state(model), model.plan
    find(model, train, steps=20)
    assert phase.differing(before, phase.state(model)) == []
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.plan == plan
    assert not model.training


def test_the_first_loss_is_that_of_the_model_as_it_came(train: ImageSource) -> None:
    low, lower = (find(phase.model(), train, steps=12, low=low, high=1e-4) for low in (1e-8, 1e-9))
    assert low.losses[0] == lower.losses[0]
    assert low.losses[-1] == pytest.approx(lower.losses[-1], rel=0.01)


def test_a_loss_that_explodes_ends_the_test(train: ImageSource) -> None:
    found = find(phase.model(3, "frozen"), train, steps=60, low=1e-4, high=1e4)
    assert 10 <= len(found.rates) < 60
    assert max(found.losses) <= 4 * min(found.losses)
    assert all(math.isfinite(value) for value in found.losses)


def test_a_test_that_explodes_at_once_is_refused(train: ImageSource) -> None:
    model = phase.model(3, "frozen")
    before = phase.state(model)
    with pytest.raises(
        ThawError, match=r"grew without limit after \d steps?, at a rate of .*: no rate"
    ):
        find(model, train, steps=60, low=1e4, high=1e6)
    assert phase.differing(before, phase.state(model)) == []


def test_a_first_step_without_a_finite_gradient_is_refused(train: ImageSource) -> None:
    model = phase.model(3, "frozen")
    with torch.no_grad():
        model.head[-1].bias.fill_(math.inf)  # type: ignore[index]
    with pytest.raises(ThawError, match=r"without limit after 0 steps: no rate can be suggested"):
        find(model, train, steps=60)


@pytest.mark.parametrize("parts", [4, "auto"])
def test_a_step_is_computed_in_the_parts_of_the_training(
    train: ImageSource, parts: int | str
) -> None:
    whole = find(phase.model(), train, steps=12, high=1e-2)
    model = phase.model()
    greedy(model.head, 2)  # of the 8 images of a step
    found = find(model, train, accumulate=parts, steps=12, high=1e-2)
    assert found.losses == pytest.approx(whole.losses, rel=1e-4)


def test_a_step_that_does_not_fit_names_the_parts_that_do(train: ImageSource) -> None:
    model = phase.model()
    greedy(model.head, 2)
    with pytest.raises(MemoryShortageError, match=r"in step 1: 8 images .* launch.accumulate to 4"):
        find(model, train, steps=12)


def test_the_suggestions_are_read_off_the_curve() -> None:
    tested = [10 ** (-6 + i / 10) for i in range(61)]
    losses = [2 - math.tanh(3 * (math.log10(rate) + 3)) for rate in tested]  # steepest at 1e-3
    losses[0] = 9.0  # the first losses are not smooth yet
    losses[46:] = [9.0, 1.5] + [9.0] * 13  # the losses after the lowest point are not smooth either
    found = lr_range_test.suggest(tested, losses)
    assert found.steepest == pytest.approx(1e-3)
    assert found.tenth == pytest.approx(10**-1.5 / 10)


def test_a_curve_that_only_rises_suggests_its_first_rate() -> None:
    found = lr_range_test.suggest([10.0**i for i in range(-12, 0)], [1.0 + i for i in range(12)])
    assert (found.steepest, found.tenth) == (1e-12, 1e-13)
