"""Linear heads along a path of strengths: fits to the same features share what they can.

With more features than images, the fits are computed in the space that the images span, which
changes no prediction: the L2 penalty is the same in any rotation.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from thaw.literals import LinearFit

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_ITERATIONS, _TOLERANCE = 300, 1e-3  # comparisons need no more digits
_EXACT_ITERATIONS, _EXACT_TOLERANCE = 2000, 1e-4
_LEAST_DEVIATION = 1e-3  # share of the median deviation
_LEAST_VARIANCE = 1e-10  # share of the largest variance below which a direction is rounding


@dataclass(frozen=True)
class LinearMap:
    """``features @ weight.T + bias`` are logits; weight (C, F), bias (C,)."""

    weight: Floats
    bias: Floats

    def logits(self, features: Floats) -> Floats:
        """Features (N, F) -> logits (N, C)."""
        return features @ self.weight.T + self.bias


class Scaling(NamedTuple):
    """The mean (F,) and the deviation (F,) of features; infinite for constant ones.

    Those of rare features are not below a small share of the median, see `without_tiny_deviations`.
    """

    mean: Floats
    deviation: Floats


def scaling_of(features: Floats) -> Scaling:
    """Return the scaling that gives ``features`` (N, F) mean 0 and variance 1.

    The variance is less than 1 where `without_tiny_deviations` gives a larger deviation.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation <= 1e-6 * np.abs(mean)] = np.inf  # a constant feature has no information
    return Scaling(mean, without_tiny_deviations(deviation, features))


def without_tiny_deviations(deviation: Floats, features: NDArray[Any]) -> Floats:
    """Return ``deviation`` (F,), with a least value for features that few images activate.

    ``deviation`` is that of ``features`` (N, F), infinite for constants. A feature is rare if few
    images activate it: the quartiles are closer than half of the deviation, as behind a rectifier.
    Divided by a tiny deviation, its value in another image would outweigh all other features. The
    least value is a thousandth of the median.
    """
    varying = np.isfinite(deviation)
    if not varying.any():
        return deviation
    least = _LEAST_DEVIATION * float(np.median(deviation[varying]))
    small = np.flatnonzero(deviation < least)
    low, high = np.quantile(features[:, small], (0.25, 0.75), axis=0)
    found = deviation.copy()
    found[small[high - low < 0.5 * deviation[small]]] = least
    return found


def path(
    kind: LinearFit,
    train: tuple[NDArray[np.float32], Ints],
    strengths: Sequence[float],
    *,
    balanced: bool = False,
    exact: bool = False,
) -> list[LinearMap]:
    """Return a head for each of ``strengths``, fitted to features (N, F) and targets (N,).

    All classes 0 ... C - 1 must be there. Logits of ``svm`` and ``lda`` need a temperature. An
    ``exact`` fit is that of a model; others are good enough to compare.
    """
    features, targets = train[0].astype(np.float64), train[1]
    scaling = scaling_of(features)
    scaled = (features - scaling.mean) / scaling.deviation
    rotated, axes = _spanned(scaled)
    maps = (
        discriminants(rotated, targets, strengths, width=scaled.shape[1], balanced=balanced)
        if kind == "lda"
        else _estimated(kind, (rotated, targets), strengths, balanced=balanced, exact=exact)
    )
    return [_unscaled(each, axes, scaling) for each in maps]


def discriminants(
    features: Floats,
    targets: Ints,
    shrinkages: Sequence[float],
    *,
    width: int | None = None,
    balanced: bool = False,
) -> list[LinearMap]:
    """Return Fisher's linear discriminants of ``features`` (N, F) for each shrinkage in (0, 1].

    The covariance within classes is ``(1 - s) S + s t / width I``, where t is the trace of S; 1
    compares with the nearest class mean. Where S is 0, because each class has one image, the
    covariance is that at 1 with the variance of all images as t. ``width`` is F, or the number of
    features before a rotation that left out directions without variance.

    Source: Hastie, Tibshirani & Friedman 2009, section 4.3; Ledoit & Wolf 2004.
    """
    counts = np.bincount(targets)
    means = np.stack([features[targets == label].mean(axis=0) for label in range(len(counts))])
    rest = features - means[targets]
    variances, axes = np.linalg.eigh(rest.T @ rest / len(features))
    variances = np.maximum(variances, 0.0)
    width = width or features.shape[1]
    target = max(float(variances.sum()) / width, np.finfo(float).tiny)
    of_all = float(features.var(axis=0).sum()) / width
    if target <= _LEAST_VARIANCE * of_all:  # one image of each class, or copies of one
        target, variances = of_all, np.full_like(variances, of_all)
    priors = np.full(len(counts), 1 / len(counts)) if balanced else counts / counts.sum()
    along = means @ axes
    found = []
    for shrinkage in shrinkages:
        inverse = along / ((1 - shrinkage) * variances + shrinkage * target)
        bias = np.log(priors) - 0.5 * (inverse * along).sum(axis=1)
        found.append(LinearMap(inverse @ axes.T, bias))
    return found


def _estimated(
    kind: LinearFit,
    train: tuple[Floats, Ints],
    strengths: Sequence[float],
    *,
    balanced: bool,
    exact: bool,
) -> list[LinearMap]:
    """Return the fits of scikit-learn; those of logistic regression start from the one before."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    weights = "balanced" if balanced else None
    most = _EXACT_ITERATIONS if exact else _ITERATIONS
    tolerance = _EXACT_TOLERANCE if exact else _TOLERANCE
    logistic = LogisticRegression(
        max_iter=most, tol=tolerance, class_weight=weights, warm_start=True
    )
    found = []
    for strength in strengths:
        if kind == "logistic":
            estimator = logistic.set_params(C=strength)
        else:
            estimator = LinearSVC(
                C=strength,
                max_iter=max(1000, most),
                tol=tolerance,
                class_weight=weights,
                random_state=0,
            )  # the seed of its order of visits, which changes the last digits only
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged: the losses judge it all the same
            estimator.fit(*train)
        found.append(_for_each_class(estimator.coef_, estimator.intercept_))
    return found


def _for_each_class(weight: Floats, bias: Floats) -> LinearMap:
    """Return the map of scikit-learn's, which keeps one row of two classes, with all rows."""
    if len(weight) == 1:
        weight, bias = np.stack([-weight[0], weight[0]]) / 2, np.stack([-bias[0], bias[0]]) / 2
    return LinearMap(weight.copy(), bias.copy())


def _spanned(scaled: Floats) -> tuple[Floats, Floats | None]:
    """Return ``scaled`` (N, F) in coordinates (N, R) of the space that its rows span, and axes.

    ``scaled = coordinates @ axes.T``. With as many images as features nothing is rotated.
    """
    if len(scaled) >= scaled.shape[1]:
        return scaled, None
    squares, left = np.linalg.eigh(scaled @ scaled.T)
    kept = squares > _LEAST_VARIANCE * squares[-1]
    if not kept.any():  # all features are constant
        return scaled, None
    lengths = np.sqrt(squares[kept])
    coordinates = left[:, kept] * lengths
    return coordinates, scaled.T @ (left[:, kept] / lengths)


def _unscaled(fitted: LinearMap, axes: Floats | None, scaling: Scaling) -> LinearMap:
    """Return ``fitted`` as a map of the features before rotation and scaling."""
    weight = fitted.weight if axes is None else fitted.weight @ axes.T
    weight = weight / scaling.deviation
    return LinearMap(weight, fitted.bias - weight @ scaling.mean)
