"""The inputs of a training phase: cached activations at its cut, or the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.model.frozen_part import FrozenPart
from thaw.training.cached_activations import CachedActivations

if TYPE_CHECKING:
    from thaw.data.loading import ImageSource, Source
    from thaw.model.classifier import Classifier
    from thaw.training.activation_cache import Cache
    from thaw.training.runtime import Runtime


@dataclass(frozen=True)
class PhaseInputs:
    """Training and validation inputs, and the cut in the block list at which they enter."""

    train: Source
    val: Source
    cut: int

    @property
    def pair(self) -> tuple[Source, Source]:
        """The training and the validation inputs."""
        return self.train, self.val


def phase_inputs(
    runtime: Runtime,
    classifier: Classifier,
    train: ImageSource,
    val: ImageSource,
    cut: int,
    cache: Cache,
) -> PhaseInputs:
    """Return the inputs of a phase whose blocks below ``cut`` are frozen.

    They are cached activations where every epoch would compute the same ones. They are the images
    where nothing is frozen, or where augmentation changes the images in every epoch.
    """
    frozen = _frozen(classifier, train, cut)
    if frozen is None:
        return PhaseInputs(train, val, 0)
    activations = CachedActivations(runtime, cache)
    return PhaseInputs(
        activations.of(frozen, train, "train"),
        activations.of(frozen, val, "val"),
        frozen.part.end,
    )


def validation_inputs(
    runtime: Runtime,
    classifier: Classifier,
    train: ImageSource,
    val: ImageSource,
    cut: int,
    cache: Cache,
) -> PhaseInputs:
    """Return the inputs of a phase without epochs.

    They are those of :func:`phase_inputs`, but the training inputs are always the images: only
    their targets are used, so that no activations are computed for them.
    """
    frozen = _frozen(classifier, train, cut)
    if frozen is None:
        return PhaseInputs(train, val, 0)
    cached = CachedActivations(runtime, cache).of(frozen, val, "val")
    return PhaseInputs(train, cached, frozen.part.end)


def _frozen(classifier: Classifier, train: ImageSource, cut: int) -> FrozenPart | None:
    """Return the part whose activations are cached; None where the inputs are the images."""
    cut = classifier.outline.readable(cut)
    return None if cut == 0 or train.is_random else FrozenPart(classifier.part(0, cut))
