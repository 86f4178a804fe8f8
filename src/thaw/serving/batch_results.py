"""Compute the probabilities of batches of image files, in order: on all cores, or on a GPU."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING

import torch

from thaw.data.prefetching import delayed
from thaw.serving.batch_decoding import decoded, read_batch
from thaw.system.bounded_pool import map_in_order
from thaw.training.out_of_memory import shortage_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor

    from thaw.model.predictor import Predictor
    from thaw.serving.batch_decoding import DecodedBatch

_MOST_ON_DEVICE = 2  # batches that a GPU has to compute, so that it does not wait for the next one
_UNLIMITED = nullcontext()
_NOT_FINITE = "the model gave a probability that is not finite"


@dataclass(frozen=True)
class BatchResult:
    """The probabilities (N, classes) of ``paths``; ``failed`` are pairs (path, reason)."""

    paths: list[str]
    probabilities: Tensor
    failed: list[tuple[str, str]]


def on_cores(
    predictor: Predictor,
    root: Path,
    batches: Sequence[Sequence[str]],
    computing: AbstractContextManager[object] = _UNLIMITED,
) -> Iterator[BatchResult]:
    """Yield the results of ``batches`` of paths below ``root``, in order, computed on the CPU.

    Forward passes run within ``computing``, which may limit how many run at the same time.
    Each core decodes and computes its own batch. A forward pass on all cores would wait at every
    layer for the core that decodes at that moment.
    """

    def compute(batch: Sequence[str]) -> BatchResult:
        read = read_batch(predictor.reader, root, batch)
        if not read.paths:
            return _result(read, None)
        with computing:
            return _result(read, predictor.forward(read.images, watch=True))

    return map_in_order(
        compute,
        batches,
        pending_per_core=2,
        initializer=partial(torch.set_num_threads, 1),
    )


def on_device(
    predictor: Predictor, root: Path, batches: Sequence[Sequence[str]]
) -> Iterator[BatchResult]:
    """Yield the results of ``batches`` of paths below ``root``, in order, computed on a GPU.

    All cores decode meanwhile. The GPU always has the next batch before it ends one.

    Raises:
        MemoryShortageError: the batches do not fit into the memory of the device.
    """

    def started() -> Iterator[tuple[DecodedBatch, Callable[[], Tensor] | None]]:
        for read in decoded(predictor.reader, root, batches):
            yield read, predictor.start(read.images, watch=True) if read.paths else None

    with shortage_named(
        f"out of memory on {predictor.device}: end other programs on it, or set a smaller "
        "--batch-size; the same command continues"
    ):
        for read, wait in delayed(started(), by=_MOST_ON_DEVICE):
            yield _result(read, wait() if wait else None)


def in_batches(paths: Sequence[str], size: int) -> list[Sequence[str]]:
    """Return ``paths`` in batches of ``size``; the last one may be smaller."""
    return [paths[start : start + size] for start in range(0, len(paths), max(1, size))]


def _result(read: DecodedBatch, probabilities: Tensor | None) -> BatchResult:
    """Return the result of a batch; ``probabilities`` (N, classes) is None if it has no image."""
    if probabilities is None:
        return BatchResult([], torch.empty(0, 1), read.failed)
    finite = probabilities.isfinite().all(dim=1)
    failed = [*read.failed, *((path, _NOT_FINITE) for path in compress(read.paths, ~finite))]
    return BatchResult(list(compress(read.paths, finite)), probabilities[finite], failed)
