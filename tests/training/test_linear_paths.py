from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from thaw.training.linear_paths import discriminants, path, scaling_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.literals import LinearFit

STRENGTHS = (0.01, 0.1, 1.0)


def data(count: int, width: int, classes: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features whose classes overlap, of different scales, and targets."""
    generator = np.random.default_rng(0)
    targets = np.arange(count) % classes
    centres = generator.normal(0.0, 1.0, (classes, width))
    features = centres[targets] + generator.normal(0.0, 2.0, (count, width))
    scales = generator.uniform(0.1, 10.0, width)
    return (features * scales + scales).astype(np.float32), targets


@pytest.mark.parametrize("width", [10, 200])
@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_is_that_of_scikit_learn_at_each_strength(
    width: int, classes: int
) -> None:
    features, targets = data(90, width, classes)
    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    for strength, found in zip(
        STRENGTHS, path("logistic", (features, targets), STRENGTHS), strict=True
    ):
        expected = LogisticRegression(C=strength, max_iter=3000, tol=1e-6).fit(scaled, targets)
        probabilities = np.exp(found.logits(features.astype(np.float64)))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        assert probabilities == pytest.approx(expected.predict_proba(scaled), abs=0.01)


@pytest.mark.parametrize("width", [10, 200])
def test_the_support_vector_machine_decides_as_that_of_scikit_learn(width: int) -> None:
    features, targets = data(90, width)
    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    for strength, found in zip(
        (1e-3, 1e-2), path("svm", (features, targets), (1e-3, 1e-2)), strict=True
    ):
        expected = LinearSVC(C=strength, max_iter=20_000).fit(scaled, targets)
        margins = found.logits(features.astype(np.float64))
        assert np.mean(margins.argmax(axis=1) == expected.predict(scaled)) > 0.97


@pytest.mark.parametrize("width", [10, 200])
def test_discriminants_are_those_of_scikit_learn_at_each_shrinkage(width: int) -> None:
    features, targets = data(90, width)
    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    for shrinkage, found in zip(
        STRENGTHS, path("lda", (features, targets), STRENGTHS), strict=True
    ):
        expected = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
        expected.fit(scaled, targets)
        logits = found.logits(features.astype(np.float64))
        wanted = expected.decision_function(scaled)
        difference = logits - wanted
        assert difference - difference.mean(axis=1, keepdims=True) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(("kind", "strength"), [("logistic", 0.01), ("svm", 1e-4), ("lda", 0.1)])
def test_a_channel_that_one_training_image_hardly_activates_decides_about_no_other_image(
    kind: LinearFit, strength: float
) -> None:
    features, targets = data(90, 200)
    known, wanted = features[:60].copy(), features[60:].copy()
    known[:, 7], wanted[:, 7] = 0.0, 0.0
    (without,) = path(kind, (known, targets[:60]), [strength])
    known[0, 7], wanted[:, 7] = 1e-5, 0.3  # as a channel behind a rectifier
    (found,) = path(kind, (known, targets[:60]), [strength])
    expected = without.logits(wanted.astype(np.float64))
    assert found.logits(wanted.astype(np.float64)) == pytest.approx(
        expected, abs=0.05 * np.abs(expected).max()
    )


def test_only_small_deviations_of_rare_features_are_raised() -> None:
    features = np.random.default_rng(0).normal(size=(50, 5)) * [1e-6, 0.01, 1.0, 2.0, 0.0]
    rare, constant = np.zeros((50, 1)), np.full((50, 1), 5.0)
    rare[3] = 1e-5
    features = np.hstack([features, rare, constant])
    deviation = features.std(axis=0)
    least = 1e-3 * np.median(deviation[[0, 1, 2, 3, 5]])
    expected = [*deviation[:4], np.inf, least, np.inf]
    assert scaling_of(features).deviation.tolist() == expected


def test_shrinkage_1_finds_the_nearest_class_mean() -> None:
    features, targets = data(90, 10)
    (found,) = discriminants(features.astype(np.float64), targets, [1.0])
    means = np.stack([features[targets == label].mean(axis=0) for label in range(3)])
    nearest = ((features[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (found.logits(features.astype(np.float64)).argmax(axis=1) == nearest).all()


@pytest.mark.parametrize("kind", ["logistic", "svm", "lda"])
def test_balanced_fits_give_a_rare_class_its_weight(kind: LinearFit) -> None:
    generator = np.random.default_rng(0)
    targets = np.repeat([0, 1], [190, 10])
    features = (targets[:, None] + generator.normal(0, 1.5, (200, 4))).astype(np.float32)
    for strength in (0.01, 0.5):
        (plain,), (balanced,) = (
            path(kind, (features, targets), [strength], balanced=on) for on in (False, True)
        )
        wide = features.astype(np.float64)
        counts = [np.sum(each.logits(wide).argmax(axis=1)) for each in (plain, balanced)]
        assert counts[1] > counts[0]


@pytest.mark.parametrize("kind", ["logistic", "svm", "lda"])
def test_constant_features_say_nothing(kind: LinearFit) -> None:
    features, targets = data(60, 5)
    constant = np.hstack([features, np.full((60, 2), 1e6, dtype=np.float32)])
    (without,), (with_them,) = (path(kind, (each, targets), [0.1]) for each in (features, constant))
    assert np.isfinite(with_them.weight).all()
    assert with_them.weight[:, :5] == pytest.approx(without.weight, rel=0.1, abs=1e-3)
    assert not with_them.weight[:, 5:].any()


@pytest.mark.parametrize("copies", [1, 3])
def test_one_image_of_each_class_gives_finite_discriminants(copies: int) -> None:
    features, _ = data(4, 50, 4)
    repeated, targets = np.repeat(features, copies, axis=0), np.repeat(np.arange(4), copies)
    for found in path("lda", (repeated, targets), STRENGTHS):
        logits = found.logits(repeated.astype(np.float64))
        assert np.isfinite(logits).all()
        assert (logits.argmax(axis=1) == targets).all()
