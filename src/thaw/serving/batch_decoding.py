"""Decode the image files of `thaw predict` in batches, on all cores, ahead of the device."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset

from thaw.data.decoding_budget import share_budget, state_of_processes
from thaw.errors import ThawError
from thaw.serving.image_files import read_image
from thaw.system.bounded_pool import map_in_order
from thaw.system.process_map import can_fork
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from thaw.data.decoding_budget import BudgetState
    from thaw.data.image_reader import ImageReader

_AHEAD = 2  # batches per core
_FEW = 512  # images for which processes are not worth their start
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where processes leave batches for each other)


@dataclass(frozen=True)
class DecodedBatch:
    """The readable images of a batch, uint8 (N, 3, S, S), with their ``paths``.

    ``failed`` are pairs (path, reason).
    """

    paths: list[str]
    images: Tensor
    failed: list[tuple[str, str]]


def read_batch(reader: ImageReader, root: Path, paths: Sequence[str]) -> DecodedBatch:
    """Read the images ``paths`` below ``root``, which must be resolved."""
    read = [(path, read_image(root, reader, path)) for path in paths]
    failed = [(path, image) for path, image in read if isinstance(image, str)]
    images = [(path, image) for path, image in read if not isinstance(image, str)]
    stacked = torch.cat([image for _, image in images]) if images else torch.empty(0)
    return DecodedBatch([path for path, _ in images], stacked, failed)


def decoded(
    reader: ImageReader, root: Path, batches: Sequence[Sequence[str]]
) -> Iterator[DecodedBatch]:
    """Yield the ``batches`` of paths below ``root``, decoded, in order.

    Each core decodes a batch at a time, in a process of its own: for a small JPEG, much of the time
    is Python's, and threads would wait for each other. Threads decode few images, and where
    processes cannot pass batches on.

    Raises:
        ThawError: a process was killed.
    """
    if not _suits_processes(reader, batches):
        yield from map_in_order(
            partial(read_batch, reader, root),
            batches,
            pending_per_core=_AHEAD,
            initializer=partial(torch.set_num_threads, 1),
        )
        return
    loader = DataLoader(
        _Batches(reader, root, batches),
        batch_size=None,  # an item is a batch already
        collate_fn=_identity,
        num_workers=cores(),
        prefetch_factor=_AHEAD,
        worker_init_fn=partial(_start_worker, state_of_processes()),
        multiprocessing_context="fork",  # the state of the budget is inherited
    )
    with _explained_death():
        yield from loader


@contextmanager
def _explained_death() -> Iterator[None]:
    """Raise a ThawError instead of torch's error about a process that was killed."""
    try:
        yield
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error):
            raise
        raise ThawError(
            "a process that decodes images was killed; it may need more memory: the same command "
            "continues"
        ) from error


def _suits_processes(reader: ImageReader, batches: Sequence[Sequence[str]]) -> bool:
    """Return whether processes can be forked and have room for the batches that they pass on."""
    if sum(map(len, batches)) < _FEW or not can_fork():
        return False
    needed = cores() * _AHEAD * len(batches[0]) * 3 * reader.preprocessing.image_size**2
    return _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free > 2 * needed


class _Batches(Dataset[DecodedBatch]):
    """The batches by number, decoded by the process that asks."""

    def __init__(self, reader: ImageReader, root: Path, batches: Sequence[Sequence[str]]) -> None:
        self._reader, self._root, self._batches = reader, root, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> DecodedBatch:
        return read_batch(self._reader, self._root, self._batches[number])


def _start_worker(state: BudgetState, _: int) -> None:
    """Limit the memory of images in all processes together."""
    share_budget(state)


def _identity(batch: Any) -> Any:
    return batch
