"""Batches: which images, in which order, to which process; a pure function of (seed, epoch)."""

from __future__ import annotations

from dataclasses import dataclass
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

_MOST_READ = 2**25  # packed pixels that are read before they are resized


@dataclass(frozen=True)
class Share:
    """One process's part of a batch: places in the source, and a weight of 1 or 0 for each.

    Every process gets as many places as the others, so that all take part in every
    step; a place that only fills up has weight 0 and counts nowhere.
    """

    places: NDArray[np.int64]
    weights: NDArray[np.float32]
    total: int


def shares(order: NDArray[np.int64], batch_size: int, rank: int = 0, world: int = 1) -> list[Share]:
    """Cut ``order`` into batches of ``batch_size`` over all processes; the part of ``rank``."""
    result = []
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        filled = -(-len(batch) // world) * world
        padded = np.resize(batch, filled)
        weights = np.zeros(filled, dtype=np.float32)
        weights[: len(batch)] = 1.0
        result.append(Share(padded[rank::world], weights[rank::world], len(batch)))
    return result


def shuffled(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """A permutation of 0..count-1 that depends on (seed, epoch) alone."""
    generator = np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 0])
    return np.random.Generator(generator).permutation(count)


class Source(Protocol):
    """Inputs and targets by place: images, or activations that were cached at a cut."""

    targets: NDArray[np.int64]

    def __len__(self) -> int: ...

    def read(self, places: NDArray[np.int64]) -> Tensor:
        """What is loaded, perhaps in another process: (N, ...), as small as possible."""

    def finish(self, inputs: Tensor, places: NDArray[np.int64], epoch: int | None) -> Tensor:
        """What is computed on the device; ``epoch`` is None where nothing may be random."""


class ImageSource:
    """The images of one split, as the network's input (N, 3, S, S).

    ``targets`` are those of all splits, by id; ``classes`` counts theirs unless given.
    """

    def __init__(
        self,
        store: PackedStore,
        ids: NDArray[np.int64],
        targets: NDArray[np.int64],
        preprocessing: Preprocessing,
        seed: int = 0,
        augmentation: Augment | None = None,
        *,
        classes: int | None = None,
    ) -> None:
        self.ids = ids
        self.targets = targets[ids]
        self.preprocessing = preprocessing
        self._store = store
        self._seed = seed
        self._augmentation = augmentation if augmentation and augmentation.active else None
        self._classes = classes or int(targets.max(initial=0)) + 1

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_random(self) -> bool:
        """Whether an image looks different in every epoch."""
        return self._augmentation is not None

    @property
    def randomness(self) -> tuple[Any, ...]:
        """All that the random changes of an image depend on, beside its id and the epoch."""
        changes = self._augmentation.model_dump() if self._augmentation else None
        return (self._seed, changes)

    def mixing(self, epoch: int | None) -> Mixing | None:
        """How images are mixed in ``epoch``, if they are."""
        config = self._augmentation
        if epoch is None or config is None or not (config.mixup or config.cutmix):
            return None
        return Mixing(self.ids, self.targets, self._classes, self._seed, epoch, config)

    def read(self, places: NDArray[np.int64]) -> Tensor:
        """The resized images, uint8 (N, 3, S, S)."""
        ids = self.ids[places]
        # Thin images are large in the store: a batch of them is not read as a whole.
        pixels = self._store.shapes(ids).prod(axis=1).sum()
        parts = np.array_split(ids, max(1, min(len(ids), -(-pixels // _MOST_READ))))
        resized = [
            self.preprocessing.resize([self._store.read(int(i)) for i in part]) for part in parts
        ]
        return resized[0] if len(resized) == 1 else torch.cat(resized)

    def finish(self, inputs: Tensor, places: NDArray[np.int64], epoch: int | None) -> Tensor:
        """Augmented (in training) and normalised float32, channels_last."""
        images = inputs.float().div_(255)
        if epoch is not None and self._augmentation is not None:
            images = augment(images, self.ids[places], epoch, self._seed, self._augmentation)
        images = self.preprocessing.normalize(images)
        return images.contiguous(memory_format=torch.channels_last)


class ActivationSource:
    """Activations that were computed once, with the targets of their images."""

    def __init__(self, activations: NDArray[np.float32], targets: NDArray[np.int64]) -> None:
        self.targets = targets
        self._activations = np.asarray(activations)  # np.memmap would wrap every batch it gives

    def __len__(self) -> int:
        return len(self.targets)

    def read(self, places: NDArray[np.int64]) -> Tensor:
        """The activations, float32 (N, C, H, W) or (N, F)."""
        return torch.from_numpy(self._activations[places])

    def finish(self, inputs: Tensor, places: NDArray[np.int64], epoch: int | None) -> Tensor:  # noqa: ARG002
        """As they are, channels_last where they are maps."""
        if inputs.ndim == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs


@dataclass(frozen=True)
class Batch:
    """What one process gets of one batch; ``total`` counts the whole batch over all processes.

    ``targets`` are class numbers (N,), or where images are mixed, the classes' shares (N, classes).
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor
    places: NDArray[np.int64]
    total: int


class _Reader(Dataset[Any]):
    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitems__(self, places: list[int]) -> Tensor:
        return self._source.read(np.asarray(places, dtype=np.int64))


def batches(
    source: Source,
    parts: list[Share],
    device: torch.device,
    *,
    workers: int = 0,
    epoch: int | None = None,
) -> Iterator[Batch]:
    """Load ``parts`` of ``source`` onto ``device``, in order; in this process without workers."""
    # Only images are mixed: activations are cached where nothing is random.
    mixing = source.mixing(epoch) if isinstance(source, ImageSource) else None
    read = [mixing.with_partners(part.places) if mixing else part.places for part in parts]
    reader: Iterable[Tensor] = (source.read(places) for places in read)
    if workers:
        reader = DataLoader(
            _Reader(source),
            batch_sampler=[places.tolist() for places in read],
            collate_fn=_as_is,
            num_workers=workers,
            pin_memory=device.type == "cuda",
        )
    for part, places, loaded in zip(parts, read, reader, strict=True):
        inputs = source.finish(loaded.to(device, non_blocking=True), places, epoch)
        if mixing:
            inputs, targets = mixing.mix(inputs, places)
        else:
            targets = torch.from_numpy(source.targets[places]).to(device)
        yield Batch(
            inputs=inputs,
            targets=targets,
            weights=torch.from_numpy(part.weights).to(device),
            places=part.places,
            total=part.total,
        )


def _as_is(loaded: Any) -> Any:  # what the reader gives is a batch already
    return loaded
