"""Batches: the images of each, their order, and the part of each process."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from thaw.data.augmentation import augment
from thaw.data.mixing import Mixing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from thaw.config.data_sections import Augment
    from thaw.data.packed_store import PackedStore
    from thaw.data.preprocessing import Preprocessing

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
        augmentation: Augment | None = None,
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
        images = inputs.float().div_(255)
        if epoch is not None and self._augmentation is not None:
            images = augment(images, self.ids[indices], epoch, self._seed, self._augmentation)
        images = self.preprocessing.normalize(images)
        return images.contiguous(memory_format=torch.channels_last)


class ActivationSource:
    """Activations that were computed once, with the targets of their images."""

    def __init__(self, activations: NDArray[np.float32], targets: NDArray[np.int64]) -> None:
        self.targets = targets
        self._activations = np.asarray(activations)  # np.memmap would wrap every batch

    def __len__(self) -> int:
        return len(self.targets)

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """Return the activations, float32 (N, C, H, W) or (N, F)."""
        return torch.from_numpy(self._activations[indices])

    def finish(self, inputs: Tensor, indices: NDArray[np.int64], epoch: int | None) -> Tensor:  # noqa: ARG002
        """Return ``inputs`` unchanged; feature maps in channels_last order."""
        if inputs.ndim == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs


@dataclass(frozen=True)
class Batch:
    """One process's part of a batch, loaded.

    ``targets`` are class numbers (N,) or, where images are mixed, the fraction of each class
    (N, classes). The other fields are those of :class:`BatchPart`.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor
    indices: NDArray[np.int64]
    total: int


class _Reader(Dataset[Any]):
    """A source as a data set of torch that reads whole batches."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitems__(self, indices: list[int]) -> Tensor:
        return self._source.read(np.asarray(indices, dtype=np.int64))


def batches(
    source: Source,
    parts: list[BatchPart],
    device: torch.device,
    *,
    workers: int = 0,
    epoch: int | None = None,
) -> Iterator[Batch]:
    """Yield ``parts`` of ``source`` on ``device``, in order.

    ``workers`` is the number of loader processes; with 0, this process loads.
    """
    # Only images are mixed: activations are cached where nothing is random.
    mixing = source.mixing(epoch) if isinstance(source, ImageSource) else None
    read = [mixing.append_partners(part.indices) if mixing else part.indices for part in parts]
    reader: Iterable[Tensor] = (source.read(indices) for indices in read)
    if workers:
        reader = DataLoader(
            _Reader(source),
            batch_sampler=[indices.tolist() for indices in read],
            collate_fn=_identity,
            num_workers=workers,
            pin_memory=device.type == "cuda",
        )
    for part, indices, loaded in zip(parts, read, reader, strict=True):
        inputs = source.finish(loaded.to(device, non_blocking=True), indices, epoch)
        if mixing:
            inputs, targets = mixing.mix(inputs, indices)
        else:
            targets = torch.from_numpy(source.targets[indices]).to(device)
        yield Batch(
            inputs=inputs,
            targets=targets,
            weights=torch.from_numpy(part.weights).to(device),
            indices=part.indices,
            total=part.total,
        )


def _identity(loaded: Any) -> Any:  # the reader returns a whole batch
    return loaded
