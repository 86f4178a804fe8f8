"""Load the batches of an epoch, in order: on the CPU here, for a GPU ahead of its work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from thaw.data.device_reading import device_reader
from thaw.data.device_stream import SideStream
from thaw.data.loading import ActivationSource, ImageSource
from thaw.data.packed_images import PackedImages
from thaw.data.prefetching import prefetched

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from numpy.typing import NDArray

    from thaw.data.device_reading import DeviceReader, Stored
    from thaw.data.device_stream import Side
    from thaw.data.loading import BatchPart, Source
    from thaw.data.mixing import Mixing

_MOST_AHEAD = 2  # batches that are ready on a device while it works on another one


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


def batches(
    source: Source,
    parts: list[BatchPart],
    device: torch.device,
    *,
    workers: int = 0,
    epoch: int | None = None,
) -> Generator[Batch, None, None]:
    """Yield ``parts`` of ``source`` on ``device``, in order.

    ``workers`` is the number of loader processes; with 0, this process loads. For a GPU, batches
    are prepared ahead of its work, see :func:`prefetched_batches`. Activations stay on a GPU from
    the first epoch on if a quarter of its free memory is enough.
    """
    if device.type == "cpu":
        return _LoadedParts(source, parts, epoch).on_cpu(workers)
    if isinstance(source, ActivationSource) and (resident := source.resident(device)) is not None:
        return resident_batches(source, parts, resident)
    return prefetched_batches(source, parts, SideStream(device), workers=workers, epoch=epoch)


def prefetched_batches(
    source: Source,
    parts: list[BatchPart],
    side: Side,
    *,
    workers: int = 0,
    epoch: int | None = None,
) -> Generator[Batch, None, None]:
    """Yield ``parts`` of ``source``, in order, prepared by a thread on ``side``.

    Images are copied as they are packed, and resized, augmented and normalised on the device. At
    most two batches wait there. Without loader processes, threads read the images of a batch.
    """
    prepared = _LoadedParts(source, parts, epoch).on_side(side, workers, torch.get_num_threads())
    for batch, mark in prefetched(prepared, _MOST_AHEAD):
        side.hand_over((batch.inputs, batch.targets, batch.weights), mark)
        yield batch


def resident_batches(
    source: ActivationSource, parts: list[BatchPart], activations: Tensor
) -> Generator[Batch, None, None]:
    """Yield ``parts`` of ``source``, all of whose ``activations`` (N, ...) are on a device.

    What the batches need beside them is copied once for the epoch: a copy for each batch would take
    as long as a step of the head.
    """
    if not parts:
        return
    device = activations.device
    order = np.concatenate([part.indices for part in parts])
    targets = torch.from_numpy(source.targets[order]).to(device)
    weights = torch.from_numpy(np.concatenate([part.weights for part in parts])).to(device)
    places, start = torch.from_numpy(order).to(device), 0
    for part in parts:
        chosen = slice(start, start + len(part.indices))
        start = chosen.stop
        inputs = source.finish(activations.index_select(0, places[chosen]), part.indices, None)
        yield Batch(inputs, targets[chosen], weights[chosen], part.indices, part.total)


class _LoadedParts:
    """The ``parts`` of ``source`` in ``epoch``, and the ways to load them."""

    def __init__(self, source: Source, parts: list[BatchPart], epoch: int | None) -> None:
        self._source, self._parts, self._epoch = source, parts, epoch
        # Only images are mixed: activations are cached where nothing is random.
        self._mixing: Mixing | None = None
        if isinstance(source, ImageSource):
            self._mixing = source.mixing(epoch)
        self._read = [
            self._mixing.append_partners(part.indices) if self._mixing else part.indices
            for part in parts
        ]

    def on_cpu(self, workers: int) -> Generator[Batch, None, None]:
        """Yield the batches, read and finished one after the other."""
        reader: Iterable[Tensor] = map(self._source.read, self._read)
        if workers:
            reader = self._in_processes(self._source, workers)
        for part, indices, stored in zip(self._parts, self._read, reader, strict=True):
            inputs = self._source.finish(stored, indices, self._epoch)
            yield self._batch(part, indices, inputs)

    def on_side(self, side: Side, workers: int, threads: int) -> Iterator[tuple[Batch, object]]:
        """Yield the batches on the device of ``side``, each with the mark of its end there."""
        reader = device_reader(self._source, self._epoch)

        def batch_on_device(part: BatchPart, indices: NDArray[np.int64], stored: Stored) -> Batch:
            inputs = reader.finish(_copied(stored, side), indices)
            batch = self._batch(part, indices, inputs)
            targets, weights = side.copied(batch.targets), side.copied(batch.weights)
            return replace(batch, targets=targets, weights=weights)

        one_thread = partial(torch.set_num_threads, 1)
        with ThreadPoolExecutor(threads, "read", initializer=one_thread) as pool:
            read = partial(reader.read, allocate=side.allocate, threads=pool)
            stored: Iterable[Stored] = map(read, self._read)
            if workers:
                stored = self._in_processes(reader, workers)
            for part, indices, one in zip(self._parts, self._read, stored, strict=True):
                yield side.run(partial(batch_on_device, part, indices, one))

    def _batch(self, part: BatchPart, indices: NDArray[np.int64], inputs: Tensor) -> Batch:
        if self._mixing:
            inputs, targets = self._mixing.mix(inputs, indices)
        else:
            targets = torch.from_numpy(self._source.targets[indices])
        weights = torch.from_numpy(part.weights)
        return Batch(inputs, targets, weights, part.indices, part.total)

    def _in_processes(self, reader: Source | DeviceReader, workers: int) -> Iterable[Any]:
        return DataLoader(
            _Dataset(reader),
            batch_sampler=[indices.tolist() for indices in self._read],
            collate_fn=_identity,
            num_workers=workers,
        )


class _Dataset(Dataset[Any]):
    """A source as a data set of torch that reads whole batches."""

    def __init__(self, reader: Source | DeviceReader) -> None:
        self._reader = reader

    def __getitems__(self, indices: list[int]) -> Stored:
        return self._reader.read(np.asarray(indices, dtype=np.int64))


def _copied(stored: Stored, side: Side) -> Stored:
    if isinstance(stored, PackedImages):
        return stored.mapped(side.copied)
    return side.copied(stored)


def _identity(loaded: Any) -> Any:  # the reader returns a whole batch
    return loaded
