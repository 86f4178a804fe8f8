"""Digests of everything that is drawn: data order, shares, augmentation, mixing, splits."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tests import settings
from tests.golden.cases import AUGMENTATION
from thaw.data.augmentation import augment
from thaw.data.loading import batch_parts
from thaw.data.mixing import Mixing
from thaw.data.random_draws import shuffled
from thaw.ingest.splits import split

if TYPE_CHECKING:
    from numpy.typing import NDArray


def digest(*arrays: NDArray[Any]) -> str:
    """Return the SHA-256 over shapes, types and bytes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.shape}{array.dtype}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def exact() -> dict[str, str]:
    """Return digests of draws of whole numbers, which are equal on every machine."""
    found = {}
    for seed, epoch in ((0, 1), (0, 2), (7, 1)):
        order = shuffled(1000, seed, epoch)
        found[f"order seed {seed} epoch {epoch}"] = digest(order)
        for world in (1, 2, 3):
            parts = [part for rank in range(world) for part in batch_parts(order, 48, rank, world)]
            arrays = [array for part in parts for array in (part.indices, part.weights)]
            found[f"shares seed {seed} epoch {epoch} processes {world}"] = digest(*arrays)
    labels = [f"class {number % 7}" for number in range(700)]
    groups = [f"group {number // 2 if number % 5 == 0 else number}" for number in range(700)]
    for seed in (0, 1):
        made = split(labels, groups, val_fraction=0.15, test_fraction=0.2, seed=seed)
        found[f"split seed {seed}"] = digest(np.array(made))
    return found


def pixels() -> dict[str, list[float]]:
    """Return (mean, standard deviation, one pixel) of augmented and of mixed images.

    They depend on floating-point arithmetic, so they are compared with a tolerance on machines of
    another type.
    """
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.random((6, 3, 24, 24), dtype=np.float32))
    ids = np.arange(6, dtype=np.int64) * 3
    found = {}
    changes = {key.split(".")[1]: value for key, value in AUGMENTATION.items()}
    for name, value in changes.items():
        changed = augment(images.clone(), ids, 2, 5, settings.augment(**{name: value}))
        found[f"augment {name}"] = _moments(changed)
    for epoch in (1, 2):
        changed = augment(images.clone(), ids, epoch, 5, settings.augment(**changes))
        found[f"augment all epoch {epoch}"] = _moments(changed)
    targets = np.arange(6, dtype=np.int64) % 3
    config = settings.augment(mixup=0.4, cutmix=1.0)
    mixing = Mixing(ids, targets, 3, 5, 1, config)
    places = mixing.append_partners(np.arange(6))
    mixed, shared = mixing.mix(images[torch.from_numpy(places)], places)
    found["mix images"] = _moments(mixed)
    found["mix targets"] = [float(value) for value in shared.flatten()]
    return found


def _moments(images: torch.Tensor) -> list[float]:
    values = images.double()
    return [float(values.mean()), float(values.std()), float(values[1, 1, 7, 11])]
