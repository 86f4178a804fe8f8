"""Paired comparison of candidates, and the rule that chooses one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Scored(Protocol):
    """A candidate with the loss (N,) of each image, and its price in use, in any unit."""

    @property
    def losses(self) -> NDArray[np.float64]:
        """Return the loss (N,) of each image."""

    @property
    def price(self) -> float:
        """Return what one prediction costs."""


S = TypeVar("S", bound=Scored)


class Estimate(NamedTuple):
    """The mean of values or of paired differences, and its standard error."""

    mean: float
    standard_error: float

    def rounded(self) -> tuple[float, float]:
        """Return both with the five digits of a leaderboard."""
        return round(self.mean, 5), round(self.standard_error, 5)


def paired_difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> Estimate:
    """Return the difference ``first - second`` of values (N,) of the same images.

    The standard error is infinite for one image.
    """
    return estimate(first - second)


def estimate(values: NDArray[np.float64]) -> Estimate:
    """Return the mean of ``values`` (N,). Its standard error is infinite for one image."""
    if len(values) < 2:
        return Estimate(float(values.mean()), float("inf"))
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


def choose_cheapest(candidates: Sequence[S], guessing: float = math.inf) -> S:
    """Return the cheapest candidate whose mean loss is within one standard error of the lowest.

    The standard error is that of the paired difference to the candidate with the lowest loss:
    images that are hard for both do not count. Of equal prices, the lower loss counts. A candidate
    with a higher mean loss than ``guessing`` is chosen only if all have one.

    Source: the one-standard-error rule of Breiman et al. 1984, with paired errors.
    """
    best = min(candidates, key=lambda candidate: float(candidate.losses.mean()))
    most = guessing if float(best.losses.mean()) <= guessing else math.inf

    def is_as_good(candidate: S) -> bool:
        mean, error = paired_difference(candidate.losses, best.losses)
        is_as_low = mean <= error and float(candidate.losses.mean()) <= most
        return candidate is best or (candidate.price < best.price and is_as_low)

    good = [candidate for candidate in candidates if is_as_good(candidate)]
    return min(good, key=lambda candidate: (candidate.price, float(candidate.losses.mean())))
