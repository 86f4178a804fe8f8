"""The packed images of one batch in one buffer, as they go to a device that resizes them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.data.packed_store import PackedStore

# Longer side over shorter side. The ends of more elongated images, which a model does not see,
# would fill the memory of the device: they are resized before the copy.
_MOST_ELONGATED = 4


@dataclass(frozen=True)
class SizeGroup:
    """The places of images of one size, which are next to each other in the buffer.

    ``places`` (n,) are their positions in the batch; height and width are in pixels.
    """

    places: NDArray[np.int64]
    height: int
    width: int

    @property
    def bytes(self) -> int:
        """The number of bytes of these images."""
        return len(self.places) * self.height * self.width * 3


@dataclass(frozen=True)
class PackedImages:
    """The images of a batch.

    ``pixels`` (bytes,) uint8 holds the images of ``groups``, group after group, H x W x 3 each.
    ``resized`` (M, 3, S, S) uint8 are images that are resized already, at ``resized_places`` (M,).
    """

    pixels: Tensor
    groups: tuple[SizeGroup, ...]
    resized: Tensor
    resized_places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.resized_places) + sum(len(group.places) for group in self.groups)

    def stacks(self) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield (places, images) of each group, uint8 (n, 3, H, W), channels_last."""
        start = 0
        for group in self.groups:
            part = self.pixels[start : start + group.bytes]
            start += group.bytes
            images = part.view(len(group.places), group.height, group.width, 3)
            yield group.places, images.permute(0, 3, 1, 2)

    def mapped(self, function: Callable[[Tensor], Tensor]) -> PackedImages:
        """Return the same images with ``function`` of their tensors, such as a copy."""
        return replace(self, pixels=function(self.pixels), resized=function(self.resized))


def new_buffer(size: int) -> Tensor:
    """Return ``size`` bytes of ordinary memory."""
    return torch.empty(size, dtype=torch.uint8)


def read_packed(
    store: PackedStore,
    ids: NDArray[np.int64],
    resize: Callable[[list[NDArray[np.uint8]]], Tensor],
    *,
    most_side: float = math.inf,
    allocate: Callable[[int], Tensor] = new_buffer,
    threads: Executor | None = None,
) -> PackedImages:
    """Read the images ``ids`` (N,) of ``store``; only elongated and very large ones are resized.

    ``resize`` returns images (H, W, 3) as uint8 (N, 3, S, S). Images with a side of more than
    ``most_side`` pixels are very large. ``allocate`` returns the buffer for a number of bytes.
    ``threads`` read images at a time.
    """
    shapes = store.shapes(ids)
    longest = shapes.max(axis=1)
    for_cpu = (longest > _MOST_ELONGATED * shapes.min(axis=1)) | (longest > most_side)
    groups = tuple(_groups(shapes, np.flatnonzero(~for_cpu)))
    pixels = allocate(sum(group.bytes for group in groups))
    _fill(pixels.numpy(), groups, store, ids, threads)
    places = np.flatnonzero(for_cpu)
    resized = torch.cat(
        [
            resize([]),
            *(resize([store.read(int(ids[place]))]) for place in places),
        ]
    )
    return PackedImages(pixels, groups, resized, places)


def _groups(shapes: NDArray[np.int64], places: NDArray[np.int64]) -> Iterator[SizeGroup]:
    """Yield the groups of ``places`` with equal ``shapes`` (N, 2), by height and width."""
    if not len(places):
        return
    sizes, group_of = np.unique(shapes[places], axis=0, return_inverse=True)
    for number, (height, width) in enumerate(sizes):
        yield SizeGroup(places[group_of.ravel() == number], int(height), int(width))


def _fill(
    buffer: NDArray[np.uint8],
    groups: tuple[SizeGroup, ...],
    store: PackedStore,
    ids: NDArray[np.int64],
    threads: Executor | None,
) -> None:
    """Read the images of ``groups`` into ``buffer``, one after the other.

    Each task of ``threads`` reads several images: tasks of one image, and more threads than copy at
    full speed, would keep the interpreter from the thread that starts the work of the device.
    """
    places = np.concatenate([group.places for group in groups]) if groups else np.empty(0, int)
    lengths = [group.height * group.width * 3 for group in groups for _ in group.places]
    starts = np.cumsum([0, *lengths], dtype=np.int64)
    tasks = min(len(places), store.reading_tasks) if threads else 1

    def read(numbers: NDArray[np.int64]) -> None:
        if len(numbers):
            first, last = int(numbers[0]), int(numbers[-1]) + 1
            part = buffer[starts[first] : starts[last]]
            store.read_into(ids[places[first:last]], part, lengths[first:last])

    for _ in (threads.map if threads else map)(
        read, np.array_split(np.arange(len(places)), max(1, tasks))
    ):
        pass
