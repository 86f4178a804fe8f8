from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from thaw.advice.folds import Fold, stratified_folds
from thaw.advice.tournament.out_of_fold import out_of_fold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.literals import LinearFit


def data(count: int, signal: float) -> tuple[NDArray[np.float32], NDArray[np.int64], list[Fold]]:
    """Return features with a signal of that size for three classes, targets and folds."""
    generator = np.random.default_rng(0)
    targets = np.arange(count) % 3
    features = generator.normal(0, 1, (count, 12))
    features[np.arange(count), targets] += signal
    folds = stratified_folds(targets, np.arange(count).astype(str), seed=0)
    return features.astype(np.float32), targets, folds


@pytest.mark.parametrize("kind", ["logistic", "svm", "lda"])
def test_noise_is_predicted_no_better_than_chance(kind: LinearFit) -> None:
    features, targets, folds = data(240, 0.0)
    found = out_of_fold(kind, features, targets, folds, (0.01, 0.1, 1.0))
    assert found.losses.mean() == pytest.approx(np.log(3), abs=0.06)
    assert found.losses.mean() > np.log(3) - 0.005
    assert np.mean(found.logits.argmax(axis=1) == targets) < 0.42


@pytest.mark.parametrize("kind", ["logistic", "svm", "lda"])
def test_a_signal_is_found(kind: LinearFit) -> None:
    features, targets, folds = data(240, 3.0)
    found = out_of_fold(kind, features, targets, folds, (0.01, 0.1, 1.0))
    assert np.mean(found.logits.argmax(axis=1) == targets) > 0.9
    assert found.losses.mean() < 0.4
    assert found.logits.shape == (240, 3)
    assert found.losses.shape == (240,)


def test_the_strength_is_the_one_with_the_lowest_loss() -> None:
    features, targets, folds = data(240, 1.0)
    losses = [
        out_of_fold("logistic", features, targets, folds, (strength,)).losses.mean()
        for strength in (1e-6, 0.03, 100.0)
    ]
    found = out_of_fold("logistic", features, targets, folds, (1e-6, 0.03, 100.0))
    assert min(losses) == losses[1]
    assert found.strength == 0.03
    assert found.losses.mean() == pytest.approx(losses[1], abs=0.02)


def test_an_image_is_predicted_by_heads_that_do_not_know_it() -> None:
    features, targets, folds = data(60, 1.0)
    other = targets.copy()
    other[folds[0].predict] = (other[folds[0].predict] + 1) % 3
    strengths = (0.1,)
    first, second = (
        out_of_fold("logistic", features, each, folds, strengths).logits
        for each in (targets, other)
    )
    assert first[folds[0].predict] == pytest.approx(second[folds[0].predict])
    assert first[folds[1].predict] != pytest.approx(second[folds[1].predict])


def test_a_class_without_a_training_image_is_the_least_likely() -> None:
    features, targets, _ = data(60, 1.0)
    targets[0] = 3
    fold = Fold(np.arange(30, 60), np.arange(30))
    found = out_of_fold("logistic", features, targets, [fold], (0.1,))
    assert found.logits.shape == (30, 4)
    assert (found.logits.argmin(axis=1) == 3).all()
    assert np.isfinite(found.losses).all()


def test_a_fold_with_one_class_to_fit_predicts_it() -> None:
    features, _, _ = data(40, 1.0)
    targets = np.repeat([0, 1], 20)
    fold = Fold(np.arange(20), np.arange(20, 40))
    found = out_of_fold("lda", features, targets, [fold], (0.1, 1.0))
    assert (found.logits.argmax(axis=1) == 0).all()
