"""The inputs of training by index, their order, and the part of each process in a batch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from thaw.data.augmentation import augment, needs_cpu
from thaw.data.device_stream import free_bytes
from thaw.data.mixing import Mixing
from thaw.data.packed_images import new_buffer, read_packed
from thaw.data.resizing import MOST_REDUCED_ON_GPU

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from thaw.config.data_sections import FixedAugment
    from thaw.data.packed_images import PackedImages
    from thaw.data.packed_store import PackedStore
    from thaw.data.preprocessing import Preprocessing

_COPIED_BYTES = 2**26  # of activations, at a time
_MOST_PIXELS_READ = 2**25  # packed pixels that are read before they are resized


@dataclass(frozen=True)
class BatchPart:
    """The part of one batch that one process computes.

    ``indices`` (N,) are those of the images in their source. ``weights`` (N,) are 1, or 0 for an
    image that only pads: all processes get equally many images, so that all take part in every
    step. ``total`` is the number of images of the batch over all processes, without padding.
    """

    indices: NDArray[np.int64]
    weights: NDArray[np.float32]
    total: int


def batch_parts(
    order: NDArray[np.int64], batch_size: int, rank: int = 0, world: int = 1, fewest: int = 1
) -> list[BatchPart]:
    """Cut ``order`` into batches of ``batch_size`` over ``world`` processes.

    If the last batch has fewer than ``fewest`` images per process, it joins the one before it.

    Returns the part of process ``rank`` of every batch.
    """
    parts = []
    starts = list(range(0, len(order), batch_size))
    if len(starts) > 1 and -(-(len(order) - starts[-1]) // world) < fewest:
        starts.pop()
    for start, end in pairwise([*starts, len(order)]):
        batch = order[start:end]
        size = -(-len(batch) // world) * world
        padded = np.resize(batch, size)
        weights = np.zeros(size, dtype=np.float32)
        weights[: len(batch)] = 1.0
        parts.append(BatchPart(padded[rank::world], weights[rank::world], len(batch)))
    return parts


class Source(Protocol):
    """Inputs and targets by index: images, or activations that were cached at a cut."""

    targets: NDArray[np.int64]

    def __len__(self) -> int: ...

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """Return the stored inputs (N, ...), as small as possible; may run in a loader process."""

    def finish(self, inputs: Tensor, indices: NDArray[np.int64], epoch: int | None) -> Tensor:
        """Return the network's inputs, computed on the device.

        Without an ``epoch``, nothing is random.
        """


class ImageSource:
    """The images of one split, as inputs of a network (N, 3, S, S).

    ``ids`` are those of the split; ``targets`` are the class numbers of all splits, by id.
    """

    def __init__(
        self,
        store: PackedStore,
        ids: NDArray[np.int64],
        targets: NDArray[np.int64],
        preprocessing: Preprocessing,
        seed: int = 0,
        augmentation: FixedAugment | None = None,
    ) -> None:
        self.ids = ids
        self.targets = targets[ids]
        self.preprocessing = preprocessing
        self._store = store
        self._seed = seed
        self._augmentation = augmentation if augmentation and augmentation.active else None
        self._classes = int(targets.max(initial=0)) + 1

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_random(self) -> bool:
        """Return whether an image is changed in another way in every epoch."""
        return self._augmentation is not None

    @property
    def needs_cpu(self) -> bool:
        """Return whether images are augmented in a way that only a CPU computes."""
        return self._augmentation is not None and needs_cpu(self._augmentation)

    @property
    def randomness(self) -> tuple[Any, ...]:
        """Return the values that determine the random changes, besides image id and epoch."""
        changes = self._augmentation.model_dump() if self._augmentation else None
        return (self._seed, changes)

    def mixing(self, epoch: int | None) -> Mixing | None:
        """Return the mixing of images in ``epoch``; None if images are not mixed."""
        config = self._augmentation
        if epoch is None or config is None or not (config.mixup or config.cutmix):
            return None
        return Mixing(self.ids, self.targets, self._classes, self._seed, epoch, config)

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """Return the resized images, uint8 (N, 3, S, S)."""
        ids = self.ids[indices]
        # Elongated images are large in the store: a batch of them is read in parts.
        pixels = self._store.shapes(ids).prod(axis=1).sum()
        parts = np.array_split(ids, max(1, min(len(ids), -(-pixels // _MOST_PIXELS_READ))))
        resized = [
            self.preprocessing.resize([self._store.read(int(i)) for i in part]) for part in parts
        ]
        return resized[0] if len(resized) == 1 else torch.cat(resized)

    def finish(self, inputs: Tensor, indices: NDArray[np.int64], epoch: int | None) -> Tensor:
        """Return augmented (in training) and normalised float32 images, channels_last."""
        return self._finish(inputs, indices, epoch, in_batches=False)

    def read_packed(
        self,
        indices: NDArray[np.int64],
        allocate: Callable[[int], Tensor] = new_buffer,
        threads: Executor | None = None,
    ) -> PackedImages:
        """Return the images as they are packed; see :func:`thaw.data.packed_images.read_packed`."""
        ids = self.ids[indices]
        most_side = MOST_REDUCED_ON_GPU * self.preprocessing.image_size
        return read_packed(
            self._store,
            ids,
            self.preprocessing.resize,
            most_side=most_side,
            allocate=allocate,
            threads=threads,
        )

    def finish_packed(
        self, packed: PackedImages, indices: NDArray[np.int64], epoch: int | None
    ) -> Tensor:
        """Return what :meth:`finish` returns, all of it computed on the device of ``packed``.

        Whole batches are computed, in float32, where the CPU computes image by image and resizes
        in integers. So a pixel differs by a rounding; docs/gpu.md has the tolerance.
        """
        images = self.preprocessing.resize_packed(packed)
        return self._finish(images, indices, epoch, in_batches=True)

    def _finish(
        self, inputs: Tensor, indices: NDArray[np.int64], epoch: int | None, *, in_batches: bool
    ) -> Tensor:
        # In one pass of a GPU's memory instead of two.
        images = inputs * (1 / 255) if in_batches else inputs.float().div_(255)
        if epoch is not None and self._augmentation is not None:
            ids, seed = self.ids[indices], self._seed
            images = augment(images, ids, epoch, seed, self._augmentation, in_batches=in_batches)
        images = self.preprocessing.normalize(images, in_batches=in_batches)
        return images.contiguous(memory_format=torch.channels_last)


class ActivationSource:
    """Activations that were computed once, with the targets of their images."""

    def __init__(self, activations: NDArray[np.float32], targets: NDArray[np.int64]) -> None:
        self.targets = targets
        self._activations = np.asarray(activations)  # np.memmap would wrap every batch
        self._resident: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def resident(self, device: torch.device) -> Tensor | None:
        """Return all activations on ``device``, where they stay; None if they are too many.

        They are too many if they take more than a quarter of the free memory.
        """
        if self._resident is None:
            if self._activations.nbytes > free_bytes(device) // 4:
                return None
            whole = torch.empty(self._activations.shape, device=device)
            step = max(1, _COPIED_BYTES * len(self) // max(1, whole.nbytes))
            for start in range(0, len(self), step):  # torch warns of arrays that are read-only
                part = self._activations[start : start + step].copy()
                whole[start : start + step] = torch.from_numpy(part)
            self._resident = whole
        return self._resident

    def leave_device(self) -> None:
        """Free the copy on the device; the next epoch makes it again."""
        self._resident = None

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """Return the activations, float32 (N, C, H, W) or (N, F)."""
        return torch.from_numpy(self._activations[indices])

    def finish(self, inputs: Tensor, indices: NDArray[np.int64], epoch: int | None) -> Tensor:  # noqa: ARG002
        """Return ``inputs`` unchanged; feature maps in channels_last order."""
        if inputs.ndim == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs
