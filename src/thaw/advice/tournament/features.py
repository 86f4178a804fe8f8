"""Pooled outputs of every block for the images that are compared: one forward pass an input."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from thaw.data.loading import ActivationSource
from thaw.data.split_names import TRAIN, VAL
from thaw.model.classifier import average_positions
from thaw.model.frozen_part import FrozenPart
from thaw.system import provenance
from thaw.training.cached_activations import CachedActivations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from thaw.advice.tournament.candidates import Input
    from thaw.advice.tournament.development import Development
    from thaw.context import Context
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier
    from thaw.training.activation_cache import BlockDigests


@dataclass(frozen=True)
class PooledFeatures:
    """Pooled outputs (N, sum of widths) of all blocks, side by side, and the seconds they took."""

    values: NDArray[np.float32]
    widths: Sequence[int]
    seconds: float

    def of(self, blocks: Sequence[int]) -> NDArray[np.float32]:
        """Return the features of ``blocks`` (numbers from 1, ascending)."""
        edges = np.cumsum([0, *self.widths])
        parts = [self.values[:, edges[number - 1] : edges[number]] for number in blocks]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class FeatureReader:
    """Computes the features of ``development`` with the blocks of ``classifier``.

    They are kept in the activation cache. ``computed`` holds those of this process by input.
    """

    context: Context
    classifier: Classifier
    preprocessing: Preprocessing
    development: Development
    digests: BlockDigests = field(default_factory=dict)
    computed: dict[Input, PooledFeatures] = field(default_factory=dict)

    def accepts(self, size: int) -> bool:
        """Return whether the network computes images of ``size`` pixels."""
        try:
            output_widths(self.classifier, size)
        except (RuntimeError, ValueError, AssertionError, TypeError):
            return False
        return True

    def read(self, chosen: Input) -> PooledFeatures:
        """Return the features for an input."""
        if chosen not in self.computed:
            self.computed[chosen] = self._compute(chosen)
        return self.computed[chosen]

    def share(self, chosen: Input, classifier: Classifier) -> None:
        """Keep what the head of ``classifier`` reads of the splits whose images are all compared.

        ``classifier`` has the first blocks of this reader's. The fit of its head finds the features
        in the activation cache.
        """
        preprocessing = chosen.of(self.preprocessing)
        features = self.read(chosen).of(classifier.taps)
        part = FrozenPart(classifier.part(0, classifier.outline.blocks))
        places = {image_id: place for place, image_id in enumerate(self.development.ids.tolist())}
        for split in (TRAIN, VAL):
            source = self.context.data.images(split, preprocessing)
            ids = source.ids.tolist()
            if ids and places.keys() >= set(ids):
                known = ActivationSource(features[[places[each] for each in ids]], source.targets)
                self._cached(preprocessing).keep(part, known, split)

    def _cached(self, preprocessing: Preprocessing) -> CachedActivations:
        context = self.context
        return CachedActivations(context.runtime, context.cache(preprocessing), self.digests)

    def _compute(self, chosen: Input) -> PooledFeatures:
        begun = time.perf_counter()
        preprocessing = chosen.of(self.preprocessing)
        source, cached = self.development.source(preprocessing), self._cached(preprocessing)
        pooled = FrozenPart(self.classifier.pooled_blocks())
        label = f"compared {provenance.key(source.ids.tolist())[:16]}"
        activations = cached.of(pooled, source, label)
        values = activations.read(np.arange(len(activations))).numpy()
        widths = output_widths(self.classifier, chosen.image_size)
        return PooledFeatures(values, widths, time.perf_counter() - begun)


def output_widths(classifier: Classifier, image_size: int) -> list[int]:
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
