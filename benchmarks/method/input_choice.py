"""The input of the arms that are not thaw's, chosen by logistic regression.

The candidates are those of thaw: its framings at the smallest size, then larger sizes with the best
framing. Features are those of the last block, and the validation split chooses. The penalty of the
arm logistic is chosen by thaw's folds of training and validation images, to all of which it is
fitted.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.method.scoring import scores
from thaw.advice.tournament.candidates import Input, framings, sizes
from thaw.advice.tournament.development import development
from thaw.data.split_names import SPLITS
from thaw.model.frozen_part import FrozenPart
from thaw.model.meta_classifier import meta_backbone
from thaw.training.runtime import forward_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.method.baselines import Setting
    from thaw.data.split_names import SplitName

_STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_STEPS = 2000  # of the optimiser
_ALL = 1_000_000  # images at most: all of them
_CROP = 0.875  # of the image, the usual share
_CHOSEN = Path("chosen_input.json")  # of the first arm, for the others


def chosen(setting: Setting, size: int | None) -> Input:
    """Return the input with the lowest validation loss.

    ``size`` (pixels) is the only size to try; None tries those that thaw would try. The choice of
    an earlier arm in this folder is read instead.
    """
    if _CHOSEN.exists():
        return Input(**json.loads(_CHOSEN.read_text()))
    shapes = setting.data.store.shapes(setting.data.manifest.ids("train"))
    square = bool((shapes[:, 0] == shapes[:, 1]).all())
    native = meta_backbone(setting.params.backbone.name).image_size
    sides = [size] if size else sizes(native, int(np.median(shapes.max(axis=1))))
    first = [*framings(sides[0], _CROP, all_square=square), Input("crop", sides[0], 1.0)]
    losses = {each: _loss(setting, each) for each in dict.fromkeys(first)}
    best = min(losses, key=lambda each: losses[each])
    for side in sides[1:]:
        larger = Input(best.framing, side, best.crop_pct)
        losses[larger] = _loss(setting, larger)
        if losses[larger] < losses[best]:
            best = larger
        elif side >= native:
            break
    fields = {"framing": best.framing, "image_size": best.image_size, "crop_pct": best.crop_pct}
    _CHOSEN.write_text(json.dumps(fields))
    return best


def _loss(setting: Setting, given: Input) -> float:
    """Return the lowest validation loss of all penalties, fitted to the training images."""
    features = _features(setting, given, ("train", "val"))
    losses: list[float] = []
    for strength in _STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=_STEPS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weak penalties that do not converge
            model.fit(features["train"], setting.targets["train"])
        found = scores(model.predict_proba(features["val"]), setting.targets["val"], "val")
        losses.append(found["val_loss"])
    return min(losses)


def logistic_on(setting: Setting, given: Input) -> dict[str, Any]:
    """Return the scores of logistic regression on all training and validation images.

    The penalty has the lowest log-loss over five folds of them; near-duplicates share a fold.
    """
    features = _features(setting, given, SPLITS)
    images = development(setting.data, most=_ALL, seed=setting.params.seed)
    known = np.concatenate([features["train"], features["val"]])
    ids = np.concatenate([setting.data.manifest.ids("train"), setting.data.manifest.ids("val")])
    places = np.argsort(ids)[np.searchsorted(np.sort(ids), images.ids)]
    fitted = LogisticRegressionCV(
        Cs=_STRENGTHS,
        cv=[(fold.fit, fold.predict) for fold in images.folds],
        scoring="neg_log_loss",
        max_iter=_STEPS,
    )
    model = make_pipeline(StandardScaler(), fitted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weak penalties that do not converge
        model.fit(known[places], images.targets)
    found = scores(model.predict_proba(features["test"]), setting.targets["test"], "test")
    return {"choice": f"{given.name}, C {np.ravel(fitted.C_)[0]:g}"} | found


def _features(
    setting: Setting, given: Input, splits: Sequence[SplitName]
) -> dict[str, NDArray[Any]]:
    """Return the pooled output of the last block for each split."""
    preprocessing = given.of(setting.spec.preprocessing)
    network = FrozenPart(setting.classifier.part(0, len(setting.classifier.blocks)))
    features: dict[str, NDArray[Any]] = {}
    for split in splits:
        source = setting.data.images(split, preprocessing)
        passed = forward_all(setting.runtime, network, source, split)
        features[split] = np.concatenate([outputs.numpy() for _, outputs in passed])
    return features
