"""The head that a training starts from: the fitted one, or a small one.

A head that is fitted to the end has large weights for small differences of frozen features. Where a
training changes the features, as statistics of the batch do at the first step, and a high rate does
soon, these differences are lost: the large weights make the loss several times that of guessing. A
head under a strong penalty has the same directions with small weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from thaw.context import Phase, compute_inputs
from thaw.model.freeze_plan import last_blocks
from thaw.training.linear_heads import set_head
from thaw.training.linear_paths import LinearMap, path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.context import Context
    from thaw.data.preprocessing import Preprocessing
    from thaw.literals import BatchNormPolicy
    from thaw.model.classifier import Classifier

SMALL_STRENGTH = 1e-4  # of logistic regression; a fitted head has 0.001 to 0.1


def starts_small(policy: BatchNormPolicy) -> bool:
    """Return whether a training with ``policy`` starts from the small head."""
    return policy in {"train", "affine"}


def small_head(
    features: NDArray[np.float32], targets: NDArray[np.int64], classes: int, *, balanced: bool
) -> LinearMap:
    """Return the small head for ``features`` (N, F) and ``targets`` (N,) of ``classes`` classes."""
    known, numbered = np.unique(targets, return_inverse=True)
    (found,) = path("logistic", (features, numbered), [SMALL_STRENGTH], balanced=balanced)
    return of_all_classes(found, known, classes)


def of_all_classes(found: LinearMap, known: NDArray[np.int64], classes: int) -> LinearMap:
    """Return the map ``found`` of the classes ``known`` as one of all ``classes``.

    A class without an image gets the lowest bias, and no weights.
    """
    weight = np.zeros((classes, found.weight.shape[1]))
    bias = np.full(classes, found.bias.min())
    weight[known], bias[known] = found.weight, found.bias
    return LinearMap(weight, bias)


def set_small_head(
    context: Context,
    classifier: Classifier,
    preprocessing: Preprocessing,
    *,
    with_validation: bool = False,
) -> None:
    """Give ``classifier``, the model of the head warm-up, the small head, in place.

    It is fitted to the training split; ``with_validation``, also to the validation split.
    """
    plan = last_blocks(0, len(classifier.blocks), "frozen")
    phase = Phase(plan, context.params.unfreeze, preprocessing)
    inputs = compute_inputs(context, classifier, phase)
    sources = inputs.pair if with_validation else (inputs.train,)
    features = np.concatenate([each.read(np.arange(len(each))).numpy() for each in sources])
    targets = np.concatenate([each.targets for each in sources])
    balanced = context.params.regularize.class_weights == "balanced"
    classes = len(context.data.manifest.classes)
    set_head(classifier.head, small_head(features, targets, classes, balanced=balanced))
