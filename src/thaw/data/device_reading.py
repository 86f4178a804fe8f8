"""Divide the work of a source: what the CPU does before the copy, and what the device does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from thaw.data.loading import ImageSource
from thaw.data.packed_images import PackedImages, new_buffer

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from thaw.data.loading import Source

Stored = Tensor | PackedImages


class DeviceReader(Protocol):
    """A source whose inputs are made ready on a device."""

    def read(
        self,
        indices: NDArray[np.int64],
        allocate: Callable[[int], Tensor] = new_buffer,
        threads: Executor | None = None,
    ) -> Stored:
        """Return what is copied to the device.

        ``allocate`` returns memory for a number of bytes, ``threads`` work at a time. Loader
        processes have neither.
        """

    def finish(self, stored: Stored, indices: NDArray[np.int64]) -> Tensor:
        """Return the network's inputs from ``stored``, which is on the device now."""


def device_reader(source: Source, epoch: int | None) -> DeviceReader:
    """Return the reader of ``source`` for a device, in ``epoch`` of training or outside of it."""
    if not isinstance(source, ImageSource):
        return _PlainReader(source, epoch)
    return _FinishedReader(source, epoch) if source.needs_cpu else _PackedReader(source, epoch)


@dataclass(frozen=True)
class _PackedReader:
    """Images go to the device as they are packed; everything else is computed there."""

    source: ImageSource
    epoch: int | None

    def read(
        self,
        indices: NDArray[np.int64],
        allocate: Callable[[int], Tensor] = new_buffer,
        threads: Executor | None = None,
    ) -> Stored:
        return self.source.read_packed(indices, allocate, threads)

    def finish(self, stored: Stored, indices: NDArray[np.int64]) -> Tensor:
        assert isinstance(stored, PackedImages)
        return self.source.finish_packed(stored, indices, self.epoch)


@dataclass(frozen=True)
class _FinishedReader:
    """Images are finished on the CPU, with the bits of training there, because they need it."""

    source: ImageSource
    epoch: int | None

    def read(
        self,
        indices: NDArray[np.int64],
        allocate: Callable[[int], Tensor] = new_buffer,  # noqa: ARG002
        threads: Executor | None = None,
    ) -> Stored:
        parts = np.array_split(indices, max(1, len(indices))) if threads else [indices]
        finished = list((threads.map if threads else map)(self._finished, parts))
        return finished[0] if len(finished) == 1 else torch.cat(finished)

    def _finished(self, indices: NDArray[np.int64]) -> Tensor:
        return self.source.finish(self.source.read(indices), indices, self.epoch)

    def finish(self, stored: Stored, indices: NDArray[np.int64]) -> Tensor:  # noqa: ARG002
        assert isinstance(stored, Tensor)
        return stored


@dataclass(frozen=True)
class _PlainReader:
    """Inputs that are no images go to the device as they are stored."""

    source: Source
    epoch: int | None

    def read(
        self,
        indices: NDArray[np.int64],
        allocate: Callable[[int], Tensor] = new_buffer,  # noqa: ARG002
        threads: Executor | None = None,  # noqa: ARG002
    ) -> Stored:
        return self.source.read(indices)

    def finish(self, stored: Stored, indices: NDArray[np.int64]) -> Tensor:
        assert isinstance(stored, Tensor)
        return self.source.finish(stored, indices, self.epoch)
