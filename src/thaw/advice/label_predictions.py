"""Predictions of training and validation images by heads that were not fitted to them.

They are what a search for wrong labels needs: a fine-tuned network knows its training images, and
would confirm a wrong label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from thaw.advice.tournament.development import development
from thaw.advice.tournament.head_tournament import STRENGTHS
from thaw.advice.tournament.out_of_fold import out_of_fold
from thaw.context import Phase, compute_inputs
from thaw.data.split_names import TRAIN, VAL
from thaw.model.calibration import CalibratedSoftmax
from thaw.model.freeze_plan import last_blocks
from thaw.training.calibration import fit_calibration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.context import Context
    from thaw.data.preprocessing import Preprocessing
    from thaw.literals import LinearFit
    from thaw.model.classifier import Classifier

_MOST = 5000  # images; a stratified sample of more


class LabelPredictions(NamedTuple):
    """Probabilities (N, C) of the images ``ids`` (N,)."""

    ids: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def predict_labels(
    context: Context, classifier: Classifier, preprocessing: Preprocessing, kind: LinearFit
) -> LabelPredictions | None:
    """Return cross-validated predictions by heads of ``kind`` on the features of ``classifier``.

    Its blocks must not have trained on the images. Duplicates and near-duplicates are in one fold.
    The features come from the activation cache where they are in it. None in all processes except
    the first, and where the images are too few for folds.
    """
    phase = Phase(last_blocks(0, len(classifier.blocks)), context.params.warmup_head, preprocessing)
    inputs = compute_inputs(context, classifier, phase)
    if not context.runtime.is_main:
        return None
    images = development(context.data, _MOST, context.params.seed)
    if not images.folds:
        return None
    ids = np.concatenate([context.data.manifest.ids(split) for split in (TRAIN, VAL)])
    order = np.argsort(ids, kind="stable")
    places = order[np.searchsorted(ids[order], images.ids)]
    count = len(inputs.train)
    features = np.empty((len(places), _width(inputs.train.read(np.zeros(1, dtype=np.int64)))))
    for source, chosen, start in (
        (inputs.train, places < count, 0),
        (inputs.val, places >= count, count),
    ):
        if chosen.any():
            features[chosen] = source.read(places[chosen] - start).flatten(1).float().numpy()
    found = out_of_fold(
        kind, features.astype(np.float32), images.targets, images.folds, STRENGTHS[kind]
    )
    predicted = images.predicted
    fit = fit_calibration(found.logits, images.targets[predicted], "temperature")
    logits = _all_classes(found.logits, len(context.data.manifest.classes))
    probabilities = CalibratedSoftmax(fit.calibration)(torch.from_numpy(logits)).numpy()
    return LabelPredictions(images.ids[predicted], probabilities)


def _width(features: torch.Tensor) -> int:
    return features.flatten(1).shape[1]


def _all_classes(logits: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """Return the logits with columns for classes that no image of the sample has."""
    missing = np.full((len(logits), classes - logits.shape[1]), logits.min() - 10.0)
    return np.hstack([logits, missing])
