"""Inputs of training phases that the trials of one worker share."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thaw.data.loading import ActivationSource
from thaw.model.frozen_part import FrozenPart
from thaw.search.cached_views import CachedViews
from thaw.system import provenance
from thaw.training.activation_cache import Cache
from thaw.training.cached_activations import CachedActivations
from thaw.training.phase_inputs import PhaseInputs, phase_inputs

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.context import Context, Phase
    from thaw.data.loading import ImageSource
    from thaw.model.classifier import Classifier

# The number of inputs that stay open. A cache file that another process removes uses disk space
# until the last process that maps it has closed it.
_MAX_OPEN = 4


@dataclass(frozen=True)
class _RecordingCache(Cache):
    """An activation cache that records the files that are used."""

    files: list[Path] = field(default_factory=list)

    def note_use(self, path: Path) -> None:
        """Mark ``path`` as used just now, and record it."""
        super().note_use(path)
        self.files.append(path)


@dataclass(frozen=True)
class _OpenInputs:
    """Inputs that are mapped into memory, and the files that they are mapped from."""

    inputs: PhaseInputs
    files: list[Path]

    def mark_used(self) -> None:
        """Set the modification times of the files to now: the cache removes the oldest first."""
        for path in self.files:
            with contextlib.suppress(FileNotFoundError):  # removed, but still mapped
                os.utime(path)

    def leave_device(self) -> None:
        """Free the copies of the activations on a GPU; the files stay open."""
        for source in (self.inputs.train, self.inputs.val):
            if isinstance(source, ActivationSource):
                source.leave_device()


class SharedInputs:
    """The inputs that were used last; they stay open for the next trials.

    With augmentation, ``search.views`` views of each training image are cached (CachedViews).
    """

    def __init__(self) -> None:
        self._open: dict[str, _OpenInputs] = {}  # the least recently used first

    def open(self, context: Context, classifier: Classifier, phase: Phase) -> PhaseInputs:
        """Return the inputs of ``phase``: as :func:`thaw.context.compute_inputs`, but shared."""
        is_trained = phase.settings.epochs > 0  # otherwise it is only evaluated
        augmentation = phase.augmentation if is_trained else None
        train = context.data.images("train", phase.preprocessing, context.params.seed, augmentation)
        cut = classifier.outline.readable(phase.plan.cut)
        views = min(context.params.search.views, phase.settings.epochs) if train.is_random else 0
        key = provenance.key(
            context.params.backbone.model_dump(),
            phase.preprocessing.model_dump(),
            classifier.taps,
            cut,
            train.randomness if train.is_random else 0,
            views,
        )
        found = self._open.pop(key, None)
        if found is None:
            mixes_images = augmentation and (augmentation.mixup or augmentation.cutmix)
            found = _compute(context, classifier, phase, train, 0 if mixes_images else views)
        else:
            found.mark_used()
        for other in self._open.values():
            other.leave_device()  # each may take a quarter of the memory that was free then
        self._open[key] = found
        if len(self._open) > _MAX_OPEN:
            del self._open[next(iter(self._open))]
        return found.inputs


def _compute(
    context: Context, classifier: Classifier, phase: Phase, train: ImageSource, views: int
) -> _OpenInputs:
    """Return cached activations, or the images if augmentation is on and ``views`` is 0."""
    cache = context.cache(phase.preprocessing)
    cache = _RecordingCache(cache.folder, cache.limit, cache.data)
    runtime = context.runtime
    val = context.data.images("val", phase.preprocessing)
    cut = classifier.outline.readable(phase.plan.cut)
    if not train.is_random or not views or cut == 0:
        inputs = phase_inputs(runtime, classifier, train, val, cut, cache)
        return _OpenInputs(inputs, cache.files)
    frozen = FrozenPart(classifier.part(0, cut))
    activations = CachedActivations(runtime, cache)
    sources = [activations.of(frozen, train, "train", epoch) for epoch in range(1, views + 1)]
    inputs = PhaseInputs(
        CachedViews(sources, train.ids, context.params.seed),
        activations.of(frozen, val, "val"),
        cut,
    )
    return _OpenInputs(inputs, cache.files)
