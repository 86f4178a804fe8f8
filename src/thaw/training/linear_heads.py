"""A linear head fitted at once: logistic regression, support vector machine, discriminants.

All are linear maps of the features, so what they find becomes the head's own layer: the model
goes on through unfreeze, evaluate and the registry like any other.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from thaw.system.blas_threads import threads_for
from thaw.system.console import progress
from thaw.training.linear_paths import LinearMap, path, scaling_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from thaw.data.loading import Source
    from thaw.literals import LinearFit, PenalizedFit

# Inverse strengths of the L2 penalty, on features of unit variance: with thousands of features
# and some images a class the best one is small.
STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
SHRINKAGES = (0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0)
_ITERATIONS = 1000


@dataclass(frozen=True)
class Linear:
    """``features @ weight.T + bias`` are logits; weight (C, F), bias (C,)."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    strength: float
    val_loss: float

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Features (N, F) -> logits (N, C)."""
        return features @ self.weight.T + self.bias


def strengths(kind: LinearFit, given: float | Literal["auto"]) -> Sequence[float]:
    """Return the strengths to try: ``given``, or all of the kind."""
    if given != "auto":
        return (given,)
    return SHRINKAGES if kind == "lda" else STRENGTHS


def fit_head(
    head: nn.Module,
    kind: LinearFit,
    inputs: tuple[Source, Source],
    *,
    strengths: Sequence[float],
    balanced: bool,
    show: bool = True,
) -> Linear:
    """Fit the head, in place, on pooled features; return the fit with the lowest validation loss.

    ``inputs`` are those of training and validation, features (N, F) each. The head has one linear
    layer: `params.yaml` is refused where it has more.
    """
    everything = [source.read(np.arange(len(source))).numpy() for source in inputs]
    best = fit(
        kind,
        (everything[0], inputs[0].targets),
        (everything[1], inputs[1].targets),
        balanced=balanced,
        strengths=strengths,
        show=show,
    )
    set_head(head, LinearMap(best.weight, best.bias))
    return best


def set_head(head: nn.Module, fitted: LinearMap) -> None:
    """Give the linear layer of ``head`` the weights of ``fitted``."""
    (layer,) = (module for module in head.children() if not isinstance(module, nn.Dropout))
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(fitted.weight))
        layer.bias.copy_(torch.from_numpy(fitted.bias))


def fit(
    kind: LinearFit,
    train: tuple[NDArray[np.float32], NDArray[np.int64]],
    val: tuple[NDArray[np.float32], NDArray[np.int64]],
    *,
    balanced: bool = False,
    strengths: Sequence[float] = STRENGTHS,
    show: bool = True,
) -> Linear:
    """Return the fit with the best of ``strengths`` on the validation features and targets.

    The margins of a support vector machine are not logits. They are multiplied by the number that
    minimises the validation loss (temperature scaling, Guo et al. 2017).
    """
    if kind == "lda":
        maps = path(kind, train, strengths, balanced=balanced)
        found = [
            _judged(kind, each, strength, val)
            for each, strength in zip(maps, strengths, strict=True)
        ]
        return min(found, key=lambda linear: linear.val_loss)
    features = train[0].astype(np.float64)
    mean, std = scaling_of(features)
    scaled = (features - mean) / std
    shown = progress(strengths, f"fitting the head: {kind}", len(strengths), show=show)
    with threads_for(scaled.size * (1 + int(train[1].max()))):
        found = [
            _fit_one(kind, (scaled, train[1]), (mean, std), val, strength, balanced=balanced)
            for strength in shown
        ]
    return min(found, key=lambda linear: linear.val_loss)


def _fit_one(
    kind: PenalizedFit,
    train: tuple[NDArray[np.float64], NDArray[np.int64]],
    scaling: tuple[NDArray[np.float64], NDArray[np.float64]],
    val: tuple[NDArray[np.float32], NDArray[np.int64]],
    strength: float,
    *,
    balanced: bool,
) -> Linear:
    """Fit one strength; ``train`` is standardised by ``scaling`` (mean, deviation)."""
    mean, std = scaling
    estimator = estimator_of(kind, strength, balanced=balanced)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged: the validation loss judges it all the same
        estimator.fit(*train)
    weight, bias = estimator.coef_, estimator.intercept_
    if len(weight) == 1:  # two classes: scikit-learn keeps the second one's row alone
        weight, bias = np.stack([-weight[0], weight[0]]) / 2, np.stack([-bias[0], bias[0]]) / 2
    weight = weight / std
    return _judged(kind, LinearMap(weight, bias - weight @ mean), strength, val)


def _judged(
    kind: LinearFit,
    fitted: LinearMap,
    strength: float,
    val: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> Linear:
    """Return ``fitted`` with its validation loss; margins are scaled to be logits first."""
    scores = val[0] @ fitted.weight.T + fitted.bias
    scale = 1.0
    if kind != "logistic":
        scale = (temperature if kind == "svm" else bounded_temperature)(scores, val[1])
    loss = _loss(scores * scale, val[1])
    return Linear(fitted.weight * scale, fitted.bias * scale, strength, loss)


def estimator_of(kind: PenalizedFit, strength: float, *, balanced: bool) -> Any:
    """Return scikit-learn's estimator, for features of unit variance; its data alone decide it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    weights = "balanced" if balanced else None
    if kind == "logistic":
        return LogisticRegression(C=strength, max_iter=_ITERATIONS, class_weight=weights)
    # Where it solves the dual problem it visits the images in random order, and would draw that
    # from numpy's global generator. Any seed will do: the order changes the last digits only.
    return LinearSVC(C=strength, max_iter=_ITERATIONS, class_weight=weights, random_state=0)


def _loss(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    return float(F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets)))


def temperature(scores: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Return the factor of ``scores`` (N, C) with the lowest log-loss.

    Source: temperature scaling, Guo et al. 2017.
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log: _loss(scores * np.exp(log), targets), bounds=(-5, 5), method="bounded"
    )
    return float(np.exp(found.x))


def bounded_temperature(scores: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Return the factor of ``scores`` (N, C) with the lowest log-loss for smoothed targets.

    A share of 1 / (N + 2) of each target belongs to all classes. Where all scores are right, the
    factor stays finite: the logits are as certain as N images allow, and can be trained further.

    Source: the targets of Platt 1999.
    """
    from scipy.optimize import minimize_scalar

    smoothing = 1 / (len(targets) + 2)
    found = minimize_scalar(
        lambda log: float(
            F.cross_entropy(
                torch.from_numpy(scores * np.exp(log)),
                torch.from_numpy(targets),
                label_smoothing=smoothing,
            )
        ),
        bounds=(-20, 5),
        method="bounded",
    )
    return float(np.exp(found.x))
