"""Labels that are likely to be wrong, by confident learning.

Source: Northcutt, Jiang & Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
Labels".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Suspect:
    """An image whose label is likely to be wrong: its place, and the class that fits better.

    ``given`` and ``likely`` are the probabilities of the label and of the class ``suggested``.
    """

    place: int
    suggested: int
    given: float
    likely: float


def likely_wrong(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[Suspect]:
    """Return the suspects among N images, the least likely label first.

    ``targets`` are (N,), ``probabilities`` (N, C) of a model that did not train on the images.
    """
    from cleanlab.filter import find_label_issues

    present, numbered = np.unique(targets, return_inverse=True)
    if len(present) < 2:
        return []
    shares = probabilities[:, present]
    shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    places = find_label_issues(
        numbered, shares, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    found = []
    for place in map(int, places):
        suggested = int(probabilities[place].argmax())
        if suggested == targets[place]:
            continue
        row = probabilities[place]
        found.append(Suspect(place, suggested, float(row[targets[place]]), float(row[suggested])))
    return found
