"""A linear probe on the pooled output of every block: which are general, which are specific.

Source: Alain & Bengio 2017, Understanding intermediate layers using linear classifier probes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thaw.console import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_FOLDS = 5
_MOST = 2000  # images: enough to tell blocks apart, and seconds
_STRENGTH = 0.01  # on features of unit variance
_ITERATIONS = 200


@dataclass(frozen=True)
class Probe:
    """The cross-validated accuracy of a linear classifier on some blocks' pooled outputs."""

    blocks: tuple[int, ...]
    width: int
    accuracy: float
    error: float  # standard error of the accuracy

    @property
    def name(self) -> str:
        """The block's number, or the range of them."""
        first, last = self.blocks[0], self.blocks[-1]
        return str(last) if first == last else f"{first} to {last}"


def probe_all(
    features: NDArray[np.float32],
    widths: Sequence[int],
    targets: NDArray[np.int64],
    seed: int,
    *,
    show: bool = True,
) -> tuple[list[Probe], list[Probe]]:
    """Probes of each block alone, and of the last two, three, ... all of them side by side.

    ``features`` (N, the sum of ``widths``) are the blocks' outputs, side by side.
    """
    kept = _some(targets, seed)
    features, targets = features[kept], targets[kept]
    edges = [0, *np.cumsum(widths)]
    count = len(widths)
    single = [(number,) for number in range(1, count + 1)]
    joined = [tuple(range(first, count + 1)) for first in range(count - 1, 0, -1)]
    wanted = progress([*single, *joined], "probing", len(single) + len(joined), show=show)
    probes = [
        _probe(blocks, features[:, edges[blocks[0] - 1] : edges[blocks[-1]]], targets, seed)
        for blocks in wanted
    ]
    return probes[:count], probes[count:]


def _probe(
    blocks: tuple[int, ...], features: NDArray[np.float32], targets: NDArray[np.int64], seed: int
) -> Probe:
    # Late: the stage unfreeze imports this module, and needs it for `auto` alone.
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(_FOLDS, int(np.bincount(targets)[np.unique(targets)].min()))
    split = StratifiedKFold(max(2, folds), shuffle=True, random_state=seed)
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=_STRENGTH, max_iter=_ITERATIONS, tol=1e-3)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged to the last digit: a probe need not be
        predicted = cross_val_predict(model, features, targets, cv=split)
    accuracy = float(np.mean(predicted == targets))
    error = float(np.sqrt(accuracy * (1 - accuracy) / len(targets)))
    return Probe(blocks, features.shape[1], accuracy, error)


def _some(targets: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Places of at most ``_MOST`` images, drawn evenly."""
    count = len(targets)
    if count <= _MOST:
        return np.arange(count)
    generator = np.random.Generator(np.random.Philox(key=[seed, count]))
    return np.sort(generator.permutation(count)[:_MOST])
