from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests import settings
from tests.training import phase
from thaw.training import regularization
from thaw.training.regularization import Loss

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.training.history import EpochRow

TARGETS = np.array([0] * 6 + [1] * 3 + [3] * 1)
WEIGHTS = [10 / (3 * 6), 10 / (3 * 3), 0.0, 10 / 3]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def loss(logits: torch.Tensor, targets: torch.Tensor, **changes: Any) -> torch.Tensor:
    return Loss(settings.regularize(**changes), TARGETS)(logits, targets)


# The loss.


def test_with_nothing_on_it_is_the_cross_entropy() -> None:
    logits, targets = draw(5, 4), torch.tensor([0, 1, 3, 3, 1])
    expected = -logits.log_softmax(1)[torch.arange(5), targets]
    torch.testing.assert_close(loss(logits, targets), expected)


def test_label_smoothing_gives_every_class_a_share() -> None:
    logits, targets = draw(5, 4), torch.tensor([0, 1, 3, 3, 1])
    shares = 0.8 * F.one_hot(targets, 4) + 0.2 / 4
    expected = -(shares * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(loss(logits, targets, label_smoothing=0.2), expected)


def test_balanced_weights_let_every_class_count_the_same() -> None:
    weights = regularization.balanced_weights(TARGETS)
    assert weights.tolist() == pytest.approx(WEIGHTS)
    assert float(weights[torch.from_numpy(TARGETS)].mean()) == pytest.approx(1.0)
    shares = [float(weights[c]) * list(TARGETS).count(c) for c in (0, 1, 3)]
    assert shares == pytest.approx([10 / 3] * 3)


@pytest.mark.parametrize("classes", [4, 6])  # more than the training images show
def test_class_weights_scale_each_loss_by_its_class(classes: int) -> None:
    logits, targets = draw(5, classes), torch.tensor([0, 1, 3, 3, 1])
    expected = loss(logits, targets) * torch.tensor(WEIGHTS)[targets]
    torch.testing.assert_close(loss(logits, targets, class_weights="balanced"), expected)


@pytest.mark.parametrize("changes", [{}, {"class_weights": "balanced"}, {"label_smoothing": 0.1}])
def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses(changes: dict[str, Any]) -> None:
    logits, first, second = draw(3, 4), torch.tensor([0, 1, 3]), torch.tensor([1, 1, 0])
    share = torch.tensor([0.3, 0.5, 1.0])
    shares = share[:, None] * F.one_hot(first, 4) + (1 - share)[:, None] * F.one_hot(second, 4)
    expected = share * loss(logits, first, **changes) + (1 - share) * loss(
        logits, second, **changes
    )
    torch.testing.assert_close(loss(logits, shares, **changes), expected)


# What is added to the gradient; autograd knows what it must be.


def parameters() -> list[torch.Tensor]:
    """Return a matrix, a map and a vector, each with a gradient, and a frozen matrix."""
    made = [draw(3, 4, seed=1), draw(2, 3, 3, 3, seed=2), draw(4, seed=3), draw(2, 2, seed=4)]
    for index, parameter in enumerate(made):
        parameter.requires_grad = index < 3
        if index < 3:
            parameter.grad = draw(*parameter.shape, seed=10 + index)
    return made


def added(before: list[torch.Tensor], after: list[torch.Tensor]) -> list[torch.Tensor]:
    assert after[3].grad is None
    pairs = zip(before[:3], after[:3], strict=True)
    return [b.grad - a.grad for a, b in pairs if a.grad is not None and b.grad is not None]


def test_l1_is_the_gradient_of_the_sum_of_the_matrices_absolute_values() -> None:
    before, after = parameters(), parameters()
    with torch.no_grad():
        for made in (before, after):
            made[0][0, 0] = 0.0
    regularization.pull_to_zero(after, 0.3)
    penalty = 0.3 * (before[0].abs().sum() + before[1].abs().sum())
    expected = torch.autograd.grad(penalty, before[:2])
    found = added(before, after)
    torch.testing.assert_close(found[:2], list(expected))
    assert not found[2].any()
    assert found[0][0, 0] == 0


def test_l2_sp_is_the_gradient_of_half_the_squared_distance_from_the_start() -> None:
    before, after = parameters(), parameters()
    starts = [draw(*parameter.shape, seed=20) for parameter in after]
    regularization.pull_to_start(zip(after, starts, strict=True), 0.3)
    squares = [(p - s).square().sum() for p, s in zip(before[:3], starts[:3], strict=True)]
    expected = torch.autograd.grad(0.3 / 2 * torch.stack(squares).sum(), before[:3])
    torch.testing.assert_close(added(before, after), list(expected))


@pytest.mark.parametrize("at_once", [1, 20, 2**24])
def test_pulls_of_many_tensors_at_once_have_the_bits_of_one_after_the_other(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regularization, "_AT_ONCE", at_once)
    expected, found = parameters(), parameters()
    starts = [draw(*parameter.shape, seed=20) for parameter in found]
    with torch.no_grad():
        for parameter, start in zip(expected[:3], starts, strict=False):
            assert parameter.grad is not None
            if parameter.ndim > 1:
                parameter.grad.add_(parameter.sign(), alpha=0.3)
            parameter.grad.add_(parameter - start, alpha=0.7)
    regularization.pull_to_zero(found, 0.3)
    regularization.pull_to_start(zip(found, starts, strict=True), 0.7)
    for one, other in zip(expected[:3], found[:3], strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("step", [0, 9, 999])
def test_gradient_noise_has_the_variance_of_its_step(step: int) -> None:
    parameter = torch.zeros(200, 200, requires_grad=True)
    parameter.grad = torch.zeros(200, 200)
    regularization.add_noise([parameter], 0.04, step, seed=5)
    expected = 0.2 / (1 + step) ** (0.55 / 2)
    assert float(parameter.grad.std()) == pytest.approx(expected, rel=0.02)
    assert abs(float(parameter.grad.mean())) < 0.02 * expected


def test_gradient_noise_depends_on_its_seed_alone() -> None:
    made: list[torch.Tensor] = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(made))
        before, after = parameters(), parameters()
        regularization.add_noise(after, 0.04, 3, seed)
        made.append(torch.cat([noise.flatten() for noise in added(before, after)]))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert len(set(made[0].tolist())) > 60  # no two parameters get the same


# In a training.


@pytest.mark.parametrize(("setting", "strength"), [("l1", 0.1), ("l2_sp", 3.0)])
def test_a_pull_holds_the_backbones_weights_where_it_should(
    tmp_path: Path, setting: str, strength: float
) -> None:
    sources = phase.images(tmp_path / "train"), phase.images(tmp_path / "val", phase.VAL)
    training = phase.config(optimizer="sgd", schedule="constant", weight_decay=0.0, epochs=6)
    key = "blocks.1.0.weight"
    far = []
    for value in (0.0, strength):
        model = phase.model(3, "frozen")
        held = torch.zeros(8, 8, 3, 3) if setting == "l1" else phase.state(model)[key]
        distances: list[float] = []

        def note(_: EpochRow, model: Any = model, held: Any = held, to: Any = distances) -> None:
            to.append(float((phase.state(model)[key] - held).norm(p=1)))

        regularized = settings.regularize(clip_norm=100.0, **{setting: value})
        phase.fit(tmp_path / str(value), model, sources, training, regularized, log=note)
        far.append(distances[-1])
    assert far[1] < 0.8 * far[0]
