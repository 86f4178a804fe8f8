from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_info, threadpool_limits

from tests import settings
from thaw.data.loading import ActivationSource
from thaw.model import head
from thaw.training.linear_heads import STRENGTHS, bounded_temperature, estimator_of, fit, fit_head

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Split = tuple[NDArray[np.float32], NDArray[np.int64]]

Estimated = Literal["logistic", "svm"]
KINDS: tuple[Estimated, ...] = ("logistic", "svm")


def split(count: int, classes: int = 3, seed: int = 0) -> Split:
    """Overlapping clouds on features of very different scales, one of them constant."""
    generator = np.random.default_rng(seed)
    targets = np.arange(count) % classes
    centres = np.random.default_rng(9).normal(size=(classes, 6))
    features = centres[targets] + 0.8 * generator.normal(size=(count, 6))
    features *= [1e-3, 1e3, 1, 1, 1, 10]
    constant = np.full((count, 1), 5.0)
    return np.concatenate([features, constant], axis=1).astype(np.float32), targets


def source(data: Split) -> ActivationSource:
    return ActivationSource(*data)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_head_decides_as_scikit_learn_does(kind: Estimated, classes: int) -> None:
    train, val = split(120, classes), split(90, classes, seed=1)
    found = fit(kind, train, val, strengths=(0.1,))
    mean, std = train[0].mean(0), train[0].std(0)
    std[-1] = np.inf
    make = {"logistic": LogisticRegression, "svm": LinearSVC}[kind]
    theirs = make(C=0.1, max_iter=1000).fit((train[0] - mean) / std, train[1])
    expected = theirs.predict((val[0] - mean) / std)
    assert np.array_equal(found.logits(val[0]).argmax(1), expected)
    assert np.mean(expected == val[1]) > 0.7  # there was something to learn


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_gives_scikit_learns_probabilities(classes: int) -> None:
    train, val = split(120, classes), split(90, classes, seed=1)
    found = fit("logistic", train, val, strengths=(1.0,))
    std = train[0].std(0)
    std[-1] = np.inf
    scaled = [(part[0] - train[0].mean(0)) / std for part in (train, val)]
    theirs = LogisticRegression(C=1.0, max_iter=1000).fit(scaled[0], train[1])
    ours = torch.from_numpy(found.logits(val[0])).softmax(1).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(scaled[1]), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_strength_with_the_lowest_validation_loss_is_taken(kind: Estimated) -> None:
    train, val = split(30), split(90, seed=1)
    losses = [fit(kind, train, val, strengths=(s,)).val_loss for s in STRENGTHS]
    best = fit(kind, train, val)
    assert best.val_loss == min(losses)
    assert best.strength == STRENGTHS[int(np.argmin(losses))]


@pytest.mark.parametrize(("signal", "best"), [(0.0, 1e-6), (30.0, 10.0)])
def test_the_strengths_reach_as_far_as_the_baselines(signal: float, best: float) -> None:
    """Use noise, for which the weakest fit is best, and a clear signal, for the strongest."""
    generator = np.random.default_rng(0)
    made = []
    for count in (60, 300):
        targets = np.arange(count) % 3
        columns = generator.normal(size=(count, 200))
        columns[:, :3] += signal * np.eye(3)[targets]
        made.append((columns.astype(np.float32), targets))
    assert fit("logistic", *made).strength == best


def test_a_support_vector_machine_is_a_function_of_its_data() -> None:
    """Fewer images than features: the dual problem, whose solver draws."""
    generator = np.random.default_rng(0)
    train = generator.normal(size=(40, 300)).astype(np.float32), np.arange(40) % 3
    found = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002  (it is what scikit-learn would draw from)
        found.append(fit("svm", train, train, strengths=(1.0,)).weight)
    np.testing.assert_array_equal(found[0], found[1])


def test_margins_are_scaled_to_the_best_validation_loss() -> None:
    train, val = split(120), split(90, seed=1)
    found = fit("svm", train, val, strengths=(0.1,))
    targets = torch.from_numpy(val[1])
    logits = torch.from_numpy(found.logits(val[0]))
    loss = torch.nn.functional.cross_entropy(logits, targets)
    assert float(loss) == pytest.approx(found.val_loss, rel=1e-6)
    for scale in (0.8, 1.25):
        assert torch.nn.functional.cross_entropy(logits * scale, targets) > loss


def test_balanced_classes_raise_the_rare_one() -> None:
    features, targets = split(300, classes=2)
    kept = (targets == 0) | (np.arange(300) % 20 == 1)
    train, val = (features[kept], targets[kept]), split(200, classes=2, seed=1)
    share = [
        np.mean(fit("logistic", train, val, balanced=b, strengths=(1.0,)).logits(val[0]).argmax(1))
        for b in (False, True)
    ]
    assert share[1] > share[0] + 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_gets_the_linear_map(kind: Estimated) -> None:
    train, val = split(120), split(90, seed=1)
    top = head.build(settings.head_spec(dropout=0.5), features=7, classes=3).eval()
    found = fit_head(top, kind, (source(train), source(val)), strengths=STRENGTHS, balanced=False)
    with torch.no_grad():
        logits = top(torch.from_numpy(val[0])).numpy()
    np.testing.assert_allclose(logits, found.logits(val[0]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_of_a_small_fit_do_not_depend_on_the_number_of_threads(
    kind: Estimated, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()

    def recorded(*given: Any, **named: Any) -> Any:
        pools = threadpool_info()
        seen.update(pool["num_threads"] for pool in pools if pool["user_api"] == "blas")
        return estimator_of(*given, **named)

    monkeypatch.setattr("thaw.training.linear_heads.estimator_of", recorded)
    with threadpool_limits(limits=2, user_api="blas"):
        fit(kind, split(120), split(90, seed=1), strengths=(0.1,))
    assert seen == {1}


def test_scores_that_are_all_right_become_no_more_certain_than_the_images_allow() -> None:
    targets = np.arange(48) % 3
    scores = np.full((48, 3), -1e5)
    scores[np.arange(48), targets] = 1e5
    logits = scores * bounded_temperature(scores, targets)
    wrong = np.exp(logits[0, 1] - logits[0, 0])
    assert wrong == pytest.approx(1 / 150, rel=0.05)  # a third of 1 / 50, for each class


def test_noisy_scores_get_the_factor_with_the_lowest_loss() -> None:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 3, 3000)
    logits = generator.normal(0, 1, (3000, 3))
    logits[np.arange(3000), targets] += 1.0  # the true factor of Gaussian scores is 1
    assert bounded_temperature(logits * 50, targets) == pytest.approx(1 / 50, rel=0.1)
