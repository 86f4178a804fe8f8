"""Measure prepared data with a backbone: one forward pass, whose activations are cached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from thaw.advice.linear_probes import probe_blocks, split_test
from thaw.advice.measurements import Measurements
from thaw.advice.tournament.features import output_widths
from thaw.data.loading import ImageSource
from thaw.data.split_names import TRAIN, VAL
from thaw.model.channel_statistics import expected, observed, shift
from thaw.training.cached_activations import CachedActivations
from thaw.training.runtime import forward_all

if TYPE_CHECKING:
    from thaw.context import Context
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier

_SHIFT_IMAGES = 256  # enough for medians over channels


def measure(context: Context, classifier: Classifier, preprocessing: Preprocessing) -> Measurements:
    """Measure the training and validation images; the test split is not read."""
    runtime, data, seed = context.runtime, context.data, context.params.seed
    from_scratch = context.params.backbone.weights == "none"
    cached = CachedActivations(runtime, context.cache(preprocessing))
    pooled = classifier.pooled_blocks()
    parts, targets, groups = [], [], []
    for split in (TRAIN, VAL):
        source = data.images(split, preprocessing)
        activations = cached.of(pooled, source, split)
        parts.append(activations.read(np.arange(len(activations))).numpy())
        targets.append(activations.targets)
        groups += [data.manifest.rows[image_id].digest for image_id in source.ids]
    features, digests = np.concatenate(parts), np.array(groups)
    is_validation = np.repeat([0, 1], [len(part) for part in targets])
    block_probes, joint_probes = probe_blocks(
        features,
        output_widths(classifier, preprocessing.image_size),
        np.concatenate(targets),
        digests,
        seed,
        show=runtime.is_main,
    )
    # Random weights have no statistics of pretraining data.
    shift = None if from_scratch else statistics_shift(context, classifier, preprocessing)
    return Measurements(
        images=len(targets[0]),
        classes=len(data.manifest.classes),
        blocks=len(classifier.blocks),
        block_probes=block_probes,
        joint_probes=joint_probes,
        statistics_shift=shift,
        split_test=split_test(features, is_validation, digests, seed),
        from_scratch=from_scratch,
    )


def statistics_shift(
    context: Context, classifier: Classifier, preprocessing: Preprocessing
) -> float | None:
    """Return the shift between BatchNorm's running statistics and those of training images.

    The unit is a standard deviation; see :func:`thaw.model.channel_statistics.shift`. Every process
    measures it on the same training images. None if the backbone has no BatchNorm.
    """
    runtime, data = context.runtime, context.data
    running = expected(classifier.blocks)
    if not running:
        return None
    ids = data.manifest.ids(TRAIN)
    sample = ids[np.unique(np.linspace(0, len(ids) - 1, _SHIFT_IMAGES).astype(np.int64))]
    source = ImageSource(data.store, sample, data.manifest.targets, preprocessing)
    pooled = classifier.pooled_blocks()
    with observed(classifier.blocks, running) as moments:
        for _ in forward_all(runtime, pooled, source, "statistics"):
            pass
    for layer in moments.values():
        layer.count = int(runtime.sum(torch.tensor(layer.count, dtype=torch.float64)))
        layer.total, layer.squares = runtime.sum(layer.total), runtime.sum(layer.squares)
    return shift(running, moments)
