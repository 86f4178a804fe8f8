"""Compute the activations of frozen blocks once; read them from ``activation_cache`` afterwards."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from filelock import FileLock
from torch import nn

from thaw.data.loading import ActivationSource
from thaw.errors import ThawError
from thaw.model.frozen_part import FrozenPart
from thaw.system.checksums import is_sealed, seal_file
from thaw.system.console import warn
from thaw.system.storage_errors import write_failure
from thaw.training.runtime import forward_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from thaw.data.loading import ImageSource, Source
    from thaw.training.activation_cache import BlockDigests, Cache
    from thaw.training.runtime import Runtime


@dataclass(frozen=True)
class CachedActivations:
    """The activations of one data set, computed on first use and kept in ``cache``.

    The digest of a block is computed once: no weight may change while the object is in use. The
    checksum at the end of a file is compared once; a damaged file is computed again.
    """

    runtime: Runtime
    cache: Cache
    known: BlockDigests = field(default_factory=dict)
    intact: set[Path] = field(default_factory=set)

    def of(
        self, module: nn.Module, source: ImageSource, split: str, epoch: int | None = None
    ) -> ActivationSource:
        """Return the output of ``module`` in evaluation mode for all of ``source``.

        It is a memory map, float32 (N, ...). What is missing is computed from the cached
        activations at the nearest lower cut. Every process computes and writes its share, and
        another command that needs the same file waits. With an ``epoch``, the images are augmented
        as in that epoch of training. Inside ``strict_float32`` other files are used.

        Raises:
            ThawError: the file could not be written, or an activation is not finite.
        """
        view = () if epoch is None else (source.randomness, epoch)
        path = self.cache.path(self.runtime, module, split, *view, known=self.known)
        with _locked(self.runtime, path):
            if not self._is_cached(path):
                rest, inputs = self._nearest(module, source, split, view)
                self._write(rest, inputs, path, epoch)
            opened = np.load(path, mmap_mode="r")
            self.runtime.wait()  # the lock of the first process is that of all
            if self.runtime.is_main:
                self.cache.note_use(path)
        return ActivationSource(opened, source.targets)

    def keep(self, module: nn.Module, known: ActivationSource, split: str) -> None:
        """Write ``known``, the output of ``module`` for all of ``split``, unless it is there.

        It was computed as a part of another output.
        """
        path = self.cache.path(self.runtime, module, split, known=self.known)
        with _locked(self.runtime, path):
            if not self._is_cached(path):
                self._write(nn.Identity(), known, path, None)

    def _write(self, module: nn.Module, source: Source, path: Path, epoch: int | None) -> None:
        _compute(self.runtime, module, source, path, epoch)
        if self.runtime.is_main:
            self.intact.add(path)
            self.cache.trim(keep=path)

    def _nearest(
        self, module: nn.Module, source: ImageSource, split: str, view: tuple[object, ...]
    ) -> tuple[nn.Module, Source]:
        """Return the part of ``module`` above the nearest cached cut, and the activations there.

        Without a cached cut these are ``module`` and the images. So it is always in mixed
        precision: cached values are float32, and the next block would compute with more digits
        than in one pass, so that the result would depend on which cuts are cached.
        """
        if isinstance(module, FrozenPart) and self.runtime.precision.keeps_activations:
            for below, rest in module.splits():
                path = self.cache.path(self.runtime, below, split, *view, known=self.known)
                if self._is_cached(path):
                    with contextlib.suppress(FileNotFoundError):
                        return rest, ActivationSource(np.load(path, mmap_mode="r"), source.targets)
        return module, source

    def _is_cached(self, path: Path) -> bool:
        """Return in all processes whether ``path`` is an intact file; remove a damaged one."""
        is_intact = self.runtime.is_main and self._is_intact(path)
        return float(self.runtime.sum(torch.tensor(float(is_intact)))) > 0.0

    def _is_intact(self, path: Path) -> bool:
        if not path.exists():
            return False
        if path in self.intact or is_sealed(path):
            self.intact.add(path)
            return True
        warn(f"{path} is damaged: its activations are computed again")
        with contextlib.suppress(OSError):
            path.unlink()
        return False


@contextlib.contextmanager
def _locked(runtime: Runtime, path: Path) -> Iterator[None]:
    """Hold the lock of ``path`` in the first process."""
    lock = FileLock(path.with_suffix(".lock"))
    if runtime.is_main:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        if runtime.is_main:
            lock.release()


def _compute(
    runtime: Runtime, module: nn.Module, source: Source, path: Path, epoch: int | None
) -> None:
    """Write the output of ``module`` for all of ``source`` to ``path``, by way of a .part file."""
    part = path.with_suffix(".part")
    written = None
    for places, outputs in forward_all(runtime, module, source, "activations", epoch):
        if written is None:
            written = _shared_file(runtime, part, (len(source), *outputs.shape[1:]))
        _refuse_not_finite(outputs, runtime)
        written[places] = outputs.numpy()
    assert written is not None  # every process gets batches, if only to fill up
    written.flush()
    runtime.wait()
    if runtime.is_main:
        with _removed_on_error(part, part.stat().st_size):
            seal_file(part)
        part.replace(path)
    runtime.wait()


def _refuse_not_finite(outputs: Tensor, runtime: Runtime) -> None:
    """Raise if a value is not finite: no head can be fitted to such features.

    Raises:
        ThawError: names the parameters that can be the cause.
    """
    if not bool(outputs.isfinite().all()):
        raise ThawError(
            "the frozen blocks put out values that are not finite, computed in "
            f"{runtime.precision.current}: set launch.precision to fp32, or backbone.weights to "
            "other weights"
        )


def _shared_file(
    runtime: Runtime, path: Path, shape: tuple[int, ...]
) -> np.memmap[tuple[int, ...], np.dtype[np.float32]]:
    """Return a float32 .npy file of ``shape`` to which every process can write its share."""
    if runtime.is_main:
        with _removed_on_error(path, 4 * math.prod(shape)):
            np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape).flush()
            # A write through a memory map to a full disk would kill the process by a signal.
            if hasattr(os, "posix_fallocate"):  # macOS has none
                with path.open("r+b") as stream:
                    os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    runtime.wait()
    return np.lib.format.open_memmap(path, mode="r+")


@contextlib.contextmanager
def _removed_on_error(path: Path, size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        what = f"{size:,} bytes of activations"
        raise ThawError(write_failure(path, error, what)) from error
