from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests import settings, tiny
from tests.training import phase
from tests.training.no_reading import no_reading
from tests.training.test_learner import batch
from thaw.training import optimizer_state
from thaw.training.learner import Learner
from thaw.training.optimizer_step import NotFiniteError
from thaw.training.precision import Precision
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from torch import Tensor

    from thaw.data.batches import Batch
    from thaw.model.classifier import Classifier

DEFERRED: tuple[str, ...] = ("adamw", "sgd", "lamb")
EVERYTHING: dict[str, Any] = {
    "l1": 0.01,
    "l2_sp": 0.1,
    "gradient_noise": 0.01,
    "clip_norm": 0.5,
    "class_weights": "balanced",
}


def learner(
    optimizer: str,
    precision: str = "fp32",
    *,
    asynchronous: bool = True,
    model: Classifier | None = None,
    **changes: Any,
) -> Learner:
    """Return a learner of all blocks; ``asynchronous`` as on a GPU, though it is a CPU."""
    runtime = replace(tiny.runtime(), asynchronous=asynchronous, precision=Precision(precision))
    training = phase.config(optimizer=optimizer, lr=0.1, weight_decay=0.1)
    setup = TrainingSetup(training, settings.regularize(**changes), phase.SEED)
    made = Learner(runtime, model or phase.model(3, "train"), np.arange(6) % 3, setup, 0)
    made.network.train()
    return made


def state(made: Learner) -> dict[str, Tensor]:
    """Return copies of the weights and of the state of the optimiser, without statistics."""
    weights = dict(made._classifier.named_parameters())
    kept = optimizer_state.state(made.optimizer)
    return {key: value.detach().clone() for key, value in (weights | kept).items()}


def spoiled() -> Batch:
    """Return a batch whose gradient is not finite."""
    given = batch()
    images = given.inputs.clone()
    images[0, 0, 0, 0] = torch.nan
    return replace(given, inputs=images)


@pytest.mark.parametrize("optimizer", DEFERRED)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_a_step_on_a_device_reads_no_value(optimizer: str, precision: str) -> None:
    made = learner(optimizer, precision, **EVERYTHING)
    made.learn(batch(), 1, 0, 0)  # makes the state of the optimiser
    with no_reading():
        loss = made.learn(batch(), 1, 1, 1)
        made.set_rate(0.5)
        made.learn(batch(), 1, 2, 2)
    made.step.raise_if_not_finite()
    assert np.isfinite(float(loss))


def test_the_test_of_reading_finds_a_step_that_reads() -> None:
    made = learner("sgd", asynchronous=False)
    with pytest.raises(AssertionError, match="waits for the device"), no_reading():
        made.learn(batch(), 1, 0, 0)


@pytest.mark.parametrize("optimizer", DEFERRED)
def test_a_deferred_step_moves_the_weights_like_an_immediate_one(
    optimizer: str,
) -> None:
    both = [learner(optimizer, asynchronous=way, **EVERYTHING) for way in (True, False)]
    for made in both:
        for number in range(3):
            made.learn(batch(), 1, number, number)
    deferred, immediate = (dict(made._classifier.named_parameters()) for made in both)
    for name, weight in immediate.items():
        # LAMB divides by gradients near 0, so that it enlarges their rounding.
        absolute = 5e-6 if optimizer == "lamb" else 1e-6
        torch.testing.assert_close(deferred[name], weight, rtol=1e-5, atol=absolute, msg=name)


@pytest.mark.parametrize("optimizer", DEFERRED)
@pytest.mark.parametrize("first", [True, False])
def test_a_step_that_is_not_finite_is_skipped_and_reported_at_the_next_reading(
    optimizer: str, first: bool
) -> None:
    made = learner(optimizer)
    if not first:
        made.learn(batch(), 1, 0, 0)
    made.step.raise_if_not_finite()
    before = state(made)
    made.learn(spoiled(), 2, 3, 1)
    after = state(made)
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    made.learn(spoiled(), 2, 4, 2)
    with pytest.raises(NotFiniteError, match=r"epoch 2, step 4: the weights were left"):
        made.step.raise_if_not_finite()


@pytest.mark.parametrize("optimizer", DEFERRED)
def test_after_a_skipped_first_step_training_goes_on_as_if_it_had_not_been(
    optimizer: str,
) -> None:
    # torch's fused SGD would read uninitialised momentum.
    ends = []
    for skipped in (True, False):
        made = learner(optimizer, model=phase.model(3, "frozen"))
        if skipped:
            made.learn(spoiled(), 1, 0, 0)
        for number in range(1, 4):
            made.learn(batch(), 1, number, number)
        ends.append(state(made))
    assert ends[0].keys() == ends[1].keys()
    for name, value in ends[1].items():
        assert torch.equal(ends[0][name], value), name


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lamb"])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_an_overflow_in_fp16_changes_no_weight_and_halves_the_scale(
    optimizer: str, asynchronous: bool
) -> None:
    made = learner(optimizer, "fp16", asynchronous=asynchronous)
    made.learn(batch(), 1, 0, 0)
    scale = made.step.scaler.get_scale()
    weights = phase.state(made._classifier)
    trained = {name for name, _ in made._classifier.named_parameters()}
    made.learn(spoiled(), 1, 1, 1)
    made.step.raise_if_not_finite()  # overflows are expected in fp16
    assert made.step.scaler.get_scale() == scale / 2
    assert not trained & set(phase.differing(weights, phase.state(made._classifier)))
    made.learn(batch(), 1, 2, 2)
    made.step.raise_if_not_finite()


@pytest.mark.parametrize("asynchronous", [True, False])
def test_overflows_in_fp16_that_do_not_end_are_an_error(asynchronous: bool) -> None:
    made = learner("adamw", "fp16", asynchronous=asynchronous)
    weights = {name: p.detach().clone() for name, p in made._classifier.named_parameters()}

    def learn() -> None:
        for number in range(30):
            made.learn(spoiled(), 1, number, number)
            made.step.raise_if_not_finite()

    with pytest.raises(NotFiniteError, match="epoch 1, step 18"):
        learn()
    for name, weight in made._classifier.named_parameters():
        assert torch.equal(weight, weights[name]), name


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_norm_that_overflows_while_each_element_is_finite_is_an_error(
    precision: str, asynchronous: bool
) -> None:
    # The scaler lowers the scale only for an element that is not finite: without an error, every
    # further step would be skipped.
    made = learner("adamw", precision, asynchronous=asynchronous)
    made.learn(batch(), 1, 0, 0)
    weights = {name: p.detach().clone() for name, p in made._classifier.named_parameters()}
    for parameter in made.step.parameters:
        parameter.grad = torch.full_like(parameter, 1e30)

    def take() -> None:
        made.step.take(1, 4, 1)
        made.step.raise_if_not_finite()

    with pytest.raises(NotFiniteError, match="epoch 1, step 5"):
        take()
    for name, weight in made._classifier.named_parameters():
        assert torch.equal(weight, weights[name]), name


def test_the_scale_of_the_loss_is_restored_from_a_checkpoint() -> None:
    first, second = learner("adamw", "fp16"), learner("adamw", "fp16")
    first.learn(spoiled(), 1, 0, 0)
    first.learn(batch(), 1, 1, 1)
    saved = first.step.scaler_state()
    second.step.restore_scaler(saved)
    assert second.step.scaler_state() == saved
    assert second.step.scaler.get_scale() == 2.0**15
    assert learner("adamw").step.scaler_state() == {}
