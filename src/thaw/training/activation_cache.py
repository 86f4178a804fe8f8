"""Nothing frozen is computed twice: activations at the cut, computed once and kept in a file.

The files are named by what they were computed from, so that every epoch, stage, verb and search
trial that needs the same ones finds them. The oldest unused ones go when there are too many.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import nn

from thaw.data.loading import ActivationSource
from thaw.errors import ThawError
from thaw.model.frozen_part import FrozenPart
from thaw.system import provenance
from thaw.system.code_digests import code_digests
from thaw.training.runtime import forward_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from thaw.data.loading import ImageSource, Source
    from thaw.data.prepared import Prepared
    from thaw.data.preprocessing import Preprocessing
    from thaw.training.runtime import Runtime

FOLDER = Path(".thaw/activations")


@dataclass(frozen=True)
class Cache:
    """The files in ``folder``, together at most ``limit`` bytes; ``data`` names the data set."""

    folder: Path
    limit: float
    data: str

    def path(
        self,
        runtime: Runtime,
        module: nn.Module,
        split: str,
        *what: object,
        known: dict[nn.Module, str] | None = None,
    ) -> Path:
        """The file for ``module``'s output on ``split``: another weight, another file.

        ``known`` are the digests of parts, for calls that have parts in common; it is added to.
        """
        device = runtime.device.type
        parts = _digests(module, {} if known is None else known)
        key = provenance.key(
            self.data, split, *what, *parts, runtime.precision, device, torch.__version__
        )
        return self.folder / f"{key[:40]}.npy"

    def note_use(self, path: Path) -> None:
        """It was used just now: others go first."""
        os.utime(path)

    def trim(self, keep: Path) -> None:
        """Remove the least recently used files beyond the limit, but not ``keep``."""
        with contextlib.suppress(FileNotFoundError):  # another process trims as well
            # A .part without a holder of its lock is what a killed process left.
            both = (*self.folder.glob("*.npy"), *self.folder.glob("*.part"))
            files = sorted(both, key=lambda path: path.stat().st_mtime_ns)
            total = sum(path.stat().st_size for path in files)
            for path in files:
                if total <= self.limit or path == keep:
                    break
                # Whoever is about to open it holds its lock; once it is open, it may go.
                with contextlib.suppress(Timeout), FileLock(path.with_suffix(".lock"), timeout=0):
                    total -= path.stat().st_size
                    path.unlink()


def _digests(module: nn.Module, known: dict[nn.Module, str]) -> list[str]:
    """Return a digest of ``module`` without its children, and of each child, block by block.

    A frozen part is identified by the part that it computes, not by its merged copy.
    """
    kind = type(module).__name__
    if isinstance(module, FrozenPart):
        module = module.part
    parts: list[nn.Module] = []
    for child in module.children():
        parts.extend(child if isinstance(child, nn.ModuleList) else [child])
    for part in parts:
        if part not in known:
            known[part] = _digest(str(part), part.state_dict().items())
    itself = f"{kind}({module.extra_repr()})"
    own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    return [_digest(itself, own), *(known[part] for part in parts)]


def _digest(text: str, tensors: Iterable[tuple[str, Tensor]]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, value in tensors:
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def cache_of(folder: Path, data: Prepared, preprocessing: Preprocessing, gigabytes: float) -> Cache:
    """The cache for ``data``, preprocessed so by this very code."""
    settings = preprocessing.model_dump(mode="json")
    identity = provenance.key(data.digest, settings, code_digests()["activations"])
    return Cache(folder, gigabytes * 1e9, identity)


def cached(
    runtime: Runtime,
    module: nn.Module,
    source: ImageSource,
    cache: Cache,
    split: str,
    epoch: int | None = None,
    known: dict[nn.Module, str] | None = None,
) -> ActivationSource:
    """The output of ``module`` in evaluation mode for all of ``source``, as a memory map.

    Computed unless it is there, from what is kept at the nearest lower cut. Every process computes
    and writes its own part; another command that needs the same waits. Float32, (N, ...). With an
    ``epoch``, for the images as they look in that epoch of training. ``known`` as for
    :meth:`Cache.path`. Inside ``strict_float32`` they are others, and in other files.
    """
    known = {} if known is None else known
    look = () if epoch is None else (source.randomness, epoch)
    path = cache.path(runtime, module, split, *look, known=known)
    with _alone(runtime, path) as missing:
        if missing:
            begun = _begun(runtime, module, source, cache, split, look, known)
            _compute(runtime, *begun, path, epoch)
            if runtime.is_main:
                cache.trim(keep=path)
        opened = np.load(path, mmap_mode="r")
    if runtime.is_main:
        cache.note_use(path)
    return ActivationSource(opened, source.targets)


@contextlib.contextmanager
def _alone(runtime: Runtime, path: Path) -> Iterator[bool]:
    """Hold ``path``'s lock in the first process; whether the file is missing, alike in all."""
    lock = FileLock(path.with_suffix(".lock"))
    if runtime.is_main:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        found = torch.tensor(float(runtime.is_main and path.exists()))
        yield float(runtime.sum(found)) == 0.0
    finally:
        if runtime.is_main:
            lock.release()


def _begun(
    runtime: Runtime,
    module: nn.Module,
    source: ImageSource,
    cache: Cache,
    split: str,
    look: tuple[object, ...],
    known: dict[nn.Module, str],
) -> tuple[nn.Module, Source]:
    """What is left of ``module`` above the nearest lower cut that is kept, and what is kept there.

    Or all of it, and the images. In mixed precision always so: what is kept is in float32, which
    the next block would add up more exactly than what it was rounded from.
    """
    if isinstance(module, FrozenPart) and runtime.precision in {"no", "float32"}:
        for below, rest in module.splits():
            path = cache.path(runtime, below, split, *look, known=known)
            with contextlib.suppress(FileNotFoundError):
                return rest, ActivationSource(np.load(path, mmap_mode="r"), source.targets)
    return module, source


def _compute(
    runtime: Runtime, module: nn.Module, source: Source, path: Path, epoch: int | None
) -> None:
    part = path.with_suffix(".part")
    kept = None
    for places, outputs in forward_all(runtime, module, source, "activations", epoch):
        if kept is None:
            kept = _shared_file(runtime, part, (len(source), *outputs.shape[1:]))
        kept[places] = outputs.numpy()
    assert kept is not None  # every process has a part, if only to fill up
    kept.flush()
    runtime.wait()
    if runtime.is_main:
        part.replace(path)
    runtime.wait()


def _shared_file(
    runtime: Runtime, path: Path, shape: tuple[int, ...]
) -> np.memmap[tuple[int, ...], np.dtype[np.float32]]:
    """A float32 .npy file of ``shape`` that every process can write its part of."""
    if runtime.is_main:
        with _whole_or_gone(path, 4 * math.prod(shape)):
            np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape).flush()
            # A full disk that is met through a memory map kills the process without a word.
            if hasattr(os, "posix_fallocate"):  # macOS has none
                with path.open("r+b") as stream:
                    os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    runtime.wait()
    return np.lib.format.open_memmap(path, mode="r+")


@contextlib.contextmanager
def _whole_or_gone(path: Path, size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise ThawError(
            f"{path}: could not write {size:,} bytes of activations: {error.strerror}"
        ) from error
