"""Measure what advice rests on: one forward pass over the data, cached for the next command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from thaw.advice.linear_probes import probe_all, told_apart
from thaw.advice.recommendation import Facts
from thaw.data.loading import ImageSource
from thaw.model.batch_statistics import expected, observed, shift
from thaw.model.classifier import average_positions
from thaw.training.cached_activations import CachedActivations
from thaw.training.runtime import forward_all

if TYPE_CHECKING:
    from thaw.context import Context
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier

# Images that the shift of the statistics is measured on: medians over channels need few.
_SHIFT_IMAGES = 256


def measure(context: Context, classifier: Classifier, preprocessing: Preprocessing) -> Facts:
    """Probe every block on the training and validation images; the test split is not read.

    Of a backbone that starts from scratch no shift is measured: it has seen no data.
    """
    runtime, data, seed = context.runtime, context.data, context.params.seed
    from_scratch = context.params.backbone.weights == "none"
    activations = CachedActivations(runtime, context.cache(preprocessing))
    pooled = classifier.pooled_blocks()
    features, targets, groups = [], [], []
    for split in ("train", "val"):
        source = data.images(split, preprocessing)
        found = activations.of(pooled, source, split)
        features.append(found.read(np.arange(len(found))).numpy())
        targets.append(found.targets)
        groups += [data.manifest.rows[image_id].digest for image_id in source.ids]
    both, digests = np.concatenate(features), np.array(groups)
    splits = np.repeat([0, 1], [len(part) for part in targets])
    single, joined = probe_all(
        both,
        _output_widths(classifier, preprocessing.image_size),
        np.concatenate(targets),
        digests,
        seed,
        show=runtime.is_main,
    )
    return Facts(
        images=len(targets[0]),
        classes=len(data.manifest.classes),
        blocks=len(classifier.blocks),
        single=single,
        joined=joined,
        shift=None if from_scratch else shift_of(context, classifier, preprocessing),
        told_apart=told_apart(both, splits, digests, seed),
        from_scratch=from_scratch,
    )


def _output_widths(classifier: Classifier, image_size: int) -> list[int]:
    """Return the number of pooled features of each block."""
    classifier.eval()
    device = next(classifier.parameters()).device
    activations = torch.zeros(1, 3, image_size, image_size, device=device)
    widths = []
    with torch.no_grad():
        for block in classifier.blocks:
            activations = block(activations)
            widths.append(average_positions(activations, classifier.layout).shape[1])
        widths[-1] = classifier.pool(activations).shape[1]
    return widths


def shift_of(
    context: Context, classifier: Classifier, preprocessing: Preprocessing
) -> float | None:
    """How far the training images' statistics are from those the backbone expects.

    None where it has no BatchNorm to expect any. Over some training images, the same in every
    process.
    """
    runtime, data = context.runtime, context.data
    before = expected(classifier.blocks)
    if not before:
        return None
    ids = data.manifest.ids("train")
    some = ids[np.unique(np.linspace(0, len(ids) - 1, _SHIFT_IMAGES).astype(np.int64))]
    source = ImageSource(data.store, some, data.manifest.targets, preprocessing)
    pooled = classifier.pooled_blocks()
    with observed(classifier.blocks, before) as moments:
        for _ in forward_all(runtime, pooled, source, "statistics"):
            pass
    for found in moments.values():
        found.count = int(runtime.sum(torch.tensor(found.count, dtype=torch.float64)))
        found.total, found.squares = runtime.sum(found.total), runtime.sum(found.squares)
    return shift(before, moments)
