"""Cached activations of the frozen blocks of a tiny classifier, and their files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests import tiny
from thaw.model.frozen_part import FrozenPart
from thaw.training.cached_activations import CachedActivations

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.data.loading import ActivationSource
    from thaw.model.classifier import Classifier
    from thaw.training.activation_cache import Cache


def lower(
    train: Any, cache: Cache, cut: int = 2, model: Classifier | None = None
) -> ActivationSource:
    """Return the activations of the blocks below ``cut`` on the training images."""
    frozen = FrozenPart((model or tiny.classifier()).part(0, cut))
    return CachedActivations(tiny.runtime(), cache).of(frozen, train, "train")


def files(cache: Cache) -> list[Path]:
    """Return the files of cached activations."""
    return sorted(cache.folder.glob("*.npy"))
