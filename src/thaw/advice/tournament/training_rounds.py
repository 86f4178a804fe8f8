"""The rounds of short trainings: their epochs and images, and what to expect of more epochs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from thaw.advice.folds import FOLDS
from thaw.advice.tournament.start_head import starts_small
from thaw.data.split_names import TRAIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.advice.tournament.fold_training import FoldResult
    from thaw.config.training_sections import Unfreeze
    from thaw.data.prepared import Prepared

KEPT = 2  # ways that go on to the last round
_LAST_ROUND = 3  # epochs
# Whole trainings that the comparison may cost, in images, and in pixels where the input is larger
# than that of the weights.
_MOST_COST, _MOST_LARGE_COST = 1.5, 1.0
_PREDICTION = 1 / 3  # cost of predicting an image; training on it costs 1
# The gain from 1 to 3 epochs, times this, is expected from 3 to 9.
_NEXT_GAIN = 0.5


def more_epochs(settings: Unfreeze) -> int:
    """Return the epochs of the last round, after the first one."""
    return min(_LAST_ROUND, settings.epochs) - 1


def affordable(data: Prepared, settings: Unfreeze, ways: int, scale: float) -> int:
    """Return how many images can be compared.

    ``scale`` is the side of the input over that of the images that the weights were made for. The
    comparison costs at most 1.5 whole trainings at the same input. Where ``scale`` is above 1, it
    costs at most one training at the size of the weights: a step costs more there, and the features
    of several sizes were computed before.
    """
    kept = min(ways, KEPT)
    trained = (ways + kept * more_epochs(settings)) * (1 - 1 / FOLDS)
    predicted = (1 + ways + kept) / FOLDS
    most = _MOST_COST if scale <= 1 else _MOST_LARGE_COST / scale**2
    budget = most * settings.epochs * len(data.manifest.ids(TRAIN))
    return int(budget / (trained + predicted * _PREDICTION))


def going_on(first: Sequence[FoldResult]) -> list[FoldResult]:
    """Return the results of the first round that go on to the last one, the lowest loss first.

    They are the best two. If both start from the fitted head, the best of those that start from the
    small head takes the place of the second: its loss is higher at the start, which says nothing
    about the end.
    """
    ranked = sorted(first, key=lambda result: float(result.losses.mean()))
    kept, small = ranked[:KEPT], next(filter(_starts_small, ranked), None)
    if small is not None and not any(map(_starts_small, kept)):
        kept[-1] = small
    return kept


def _starts_small(result: FoldResult) -> bool:
    return starts_small(result.candidate.batch_norm)


def expected_loss(before: FoldResult, after: FoldResult, epochs: int) -> float:
    """Return the mean loss to expect after ``epochs`` epochs of a training.

    ``before`` and ``after`` are results of it. Gains shrink with the logarithm of the epochs.
    """
    last = float(after.losses.mean())
    if after.epochs == before.epochs or epochs <= after.epochs:
        return last
    share = math.log(epochs / after.epochs) / math.log(after.epochs / before.epochs)
    return last - _NEXT_GAIN * share * (float(before.losses.mean()) - last)
