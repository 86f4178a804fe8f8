from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests import settings, tiny
from tests.training import phase
from thaw.data.batches import Batch
from thaw.data.loading import ActivationSource
from thaw.data.random_draws import derived_seed
from thaw.errors import ThawError
from thaw.optimizers import registry as optimizers
from thaw.training import regularization
from thaw.training.learner import Learner
from thaw.training.optimizer_step import NotFiniteError
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from thaw.model.classifier import Classifier
    from thaw.optimizers.registry import Groups

RATE = 0.1


def batch(count: int = 6) -> Batch:
    images = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(count) % 3
    return Batch(images, targets, torch.ones(count), np.arange(count), count)


def learner(model: Classifier, **changes: Any) -> Learner:
    training = phase.config(optimizer="sgd", lr=RATE, weight_decay=0.0)
    setup = TrainingSetup(training, settings.regularize(**changes), phase.SEED)
    made = Learner(tiny.runtime(), model, np.arange(6) % 3, setup, 0)
    made.network.train()
    return made


def stepped(number: int = 0, **changes: Any) -> dict[str, Tensor]:
    """Return the gradient of the first step, from the change of the weights: 1.9 times the rate."""
    model = phase.model(3, "frozen")
    before = phase.state(model)
    learner(model, **changes).learn(batch(), 1, number, number)
    return {
        name: (before[name] - parameter.detach()) / (1.9 * RATE)
        for name, parameter in model.named_parameters()
    }


def gradient() -> dict[str, Tensor]:
    """Compute the gradient of the mean cross-entropy with autograd only."""
    model = phase.model(3, "frozen")
    model.train()
    given = batch()
    F.cross_entropy(model(given.inputs), given.targets).backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def norm(gradients: dict[str, Tensor]) -> Tensor:
    flat: Tensor = torch.cat([value.flatten() for value in gradients.values()])
    return flat.square().sum().sqrt()


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_a_step_follows_the_gradient_of_the_mean_loss() -> None:
    assert_close(stepped(clip_norm=1e6), gradient())


def test_the_loss_is_the_batchs_sum_before_the_step() -> None:
    model = phase.model(3, "frozen")
    given = batch()
    with torch.no_grad():
        expected = float(F.cross_entropy(model(given.inputs), given.targets, reduction="sum"))
    assert float(learner(model).learn(given, 1, 0, 0)) == pytest.approx(expected, rel=1e-5)


def test_a_long_gradient_is_clipped_and_a_short_one_is_not() -> None:
    whole = gradient()
    length = norm(whole)
    for share, expected in ((0.25, 0.25), (4.0, 1.0)):
        found = stepped(clip_norm=float(length) * share)
        assert_close(found, {name: value * expected for name, value in whole.items()})


def test_pulls_come_before_the_clipping() -> None:
    weights = dict(phase.model(3, "frozen").named_parameters())
    pulled = {
        name: value + (0.5 * weights[name].detach().sign() if value.ndim > 1 else 0.0)
        for name, value in gradient().items()
    }
    scale = 0.5 / norm(pulled)
    found = stepped(clip_norm=0.5, l1=0.5)
    assert_close(found, {name: value * scale for name, value in pulled.items()})


@pytest.mark.parametrize("number", [0, 7])
def test_noise_comes_after_the_clipping_and_is_that_of_its_step(number: int) -> None:
    model = phase.model(3, "frozen")
    made = learner(model)
    for parameter in made.step.parameters:
        parameter.grad = torch.zeros_like(parameter)
    seed = derived_seed(phase.SEED, 1, number, -1)
    regularization.add_noise(made.step.parameters, 0.04, number, seed)
    noise = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert_close(stepped(number, clip_norm=1e-9, gradient_noise=0.04), noise)


def test_l2_sp_pulls_the_backbone_alone_and_to_where_it_started() -> None:
    model = phase.model(3, "frozen")
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    made = learner(model, l2_sp=0.5, clip_norm=1e6)
    without = learner(phase.model(3, "frozen"), clip_norm=1e6)
    for each in (made, without):
        with torch.no_grad():
            for parameter in each.network.bare.parameters():
                parameter.add_(0.1)  # a restored checkpoint
        each.learn(batch(), 1, 0, 0)
    others = dict(without._classifier.named_parameters())
    for name, parameter in model.named_parameters():
        pull = 0.0 if name.startswith("head") else 0.5 * 0.1
        expected = others[name].detach() - 1.9 * RATE * pull
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-4, atol=1e-5, msg=name)
    assert set(start) == set(others)


def test_shares_of_classes_are_targets_as_well() -> None:
    moved = []
    for soft in (False, True):
        model = phase.model(3, "frozen")
        given = batch()
        targets = F.one_hot(given.targets, 3).float() if soft else given.targets
        changed = Batch(given.inputs, targets, given.weights, given.indices, given.total)
        learner(model, class_weights="balanced").learn(changed, 1, 0, 0)
        moved.append({name: p.detach() for name, p in model.named_parameters()})
    assert_close(moved[1], moved[0])


def test_images_that_pad_a_batch_do_not_influence_a_step() -> None:
    moved = []
    for filled in (0, 3):
        given = batch(6)
        weights = torch.ones(6 + filled)
        weights[6:] = 0
        inputs = torch.cat([given.inputs, given.inputs[:filled]])
        targets = torch.cat([given.targets, given.targets[:filled]])
        model = phase.model(3, "frozen")
        learner(model).learn(Batch(inputs, targets, weights, np.arange(6 + filled), 6), 1, 0, 0)
        moved.append({name: p.detach() for name, p in model.named_parameters()})
    assert_close(moved[1], moved[0])


@pytest.mark.parametrize("changes", [{}, {"l1": 0.1, "l2_sp": 0.1, "gradient_noise": 0.1}])
def test_a_gradient_that_is_not_finite_changes_nothing(changes: dict[str, float]) -> None:
    model = phase.model(3, "frozen")
    before = phase.state(model)
    images = batch().inputs.clone()
    images[0, 0, 0, 0] = torch.nan
    given = Batch(images, batch().targets, torch.ones(6), np.arange(6), 6)
    with pytest.raises(NotFiniteError, match="not finite in epoch 2, step 4:") as raised:
        learner(model, **changes).learn(given, 2, 3, 8)
    assert isinstance(raised.value, ThawError)
    assert phase.differing(before, phase.state(model)) == []


def test_a_regularization_that_is_off_runs_no_operation() -> None:
    """Count the operations of a step on cached features; a setting of 0 must add none."""
    features = torch.randn(8, 16, generator=torch.Generator().manual_seed(1)).numpy()
    source = ActivationSource(features, np.arange(8) % 3)
    counts = []
    for changes in ({}, {"l1": 0.1}, {"l2_sp": 0.1}, {"gradient_noise": 0.1}):
        model = phase.model(0)
        training = phase.config(optimizer="adamw")
        setup = TrainingSetup(training, settings.regularize(**changes), 0)
        made = Learner(tiny.runtime(), model, source.targets, setup, 3)
        inputs = source.read(np.arange(8))
        given = Batch(inputs, torch.arange(8) % 3, torch.ones(8), np.arange(8), 8)
        made.learn(given, 1, 0, 0)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
            made.learn(given, 1, 1, 1)
        names = [event.name for event in seen.events() or []]
        counts.append((len(names), names.count("aten::sign"), names.count("aten::randn")))
    plain, l1, l2_sp, noise = counts
    assert plain[1:] == (0, 0)
    assert l1[1:] == (1, 0)  # of the head's one matrix
    assert l2_sp == plain  # no backbone trains
    assert noise[1:] == (0, 2)


def test_the_optimiser_is_made_for_the_first_step_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    build = optimizers.build

    def counted(name: str, groups: Groups, *, fused: bool) -> Optimizer:
        made.append(name)
        return build(name, groups, fused=fused)

    monkeypatch.setattr(optimizers, "build", counted)
    setup = TrainingSetup(phase.config(optimizer="sgd"), settings.regularize(), phase.SEED)
    unused = Learner(tiny.runtime(), phase.model(3, "frozen"), np.arange(6) % 3, setup, 0)
    assert unused.network.whole(batch().inputs).shape == (6, 3)
    assert made == []
    unused.learn(batch(), 1, 0, 0)
    unused.learn(batch(), 1, 1, 1)
    assert made == ["sgd"]
