"""The folder of cached activations: file names, size limit, and removal of unused files.

A file is named by everything that its content depends on, so that every epoch, stage, verb and
search trial that needs the same activations finds them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from torch import nn

from thaw.model.frozen_part import FrozenPart
from thaw.system import provenance
from thaw.system.code_digests import code_digests
from thaw.system.tool_lock import library_versions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor

    from thaw.data.prepared import Prepared
    from thaw.data.preprocessing import Preprocessing
    from thaw.training.runtime import Runtime

BlockDigests = dict[nn.Module, str]


@dataclass(frozen=True)
class Cache:
    """The files in ``folder``, at most ``limit`` bytes in all. ``data`` identifies the data set."""

    folder: Path
    limit: float
    data: str

    def path(
        self,
        runtime: Runtime,
        module: nn.Module,
        split: str,
        *view: object,
        known: BlockDigests | None = None,
    ) -> Path:
        """Return the path of the output of ``module`` for the images of ``split``.

        ``view`` identifies the augmentation and the epoch, if there are any. ``known`` are digests
        of blocks from earlier calls; new ones are added to it.
        """
        digests = _digests(module, {} if known is None else known)
        key = provenance.key(
            self.data,
            split,
            *view,
            *digests,
            runtime.precision.current,
            runtime.device.type,
            library_versions(),
        )
        return self.folder / f"{key[:40]}.npy"

    def note_use(self, path: Path) -> None:
        """Mark the file as used now, so that other files are removed before it."""
        os.utime(path)

    def trim(self, keep: Path) -> None:
        """Remove the least recently used files above the size limit, except for ``keep``."""
        with contextlib.suppress(FileNotFoundError):  # another process trims as well
            # A .part file whose lock is free was left by a killed process.
            both = (*self.folder.glob("*.npy"), *self.folder.glob("*.part"))
            files = sorted(both, key=lambda path: path.stat().st_mtime_ns)
            total = sum(path.stat().st_size for path in files)
            for path in files:
                if total <= self.limit or path == keep:
                    break
                # A process that is about to open the file holds its lock. An open file may go.
                with contextlib.suppress(Timeout), FileLock(path.with_suffix(".lock"), timeout=0):
                    total -= path.stat().st_size
                    path.unlink()


def cache_of(folder: Path, data: Prepared, preprocessing: Preprocessing, gigabytes: float) -> Cache:
    """Return the cache for ``data`` under ``preprocessing``, as this code computes it."""
    settings = preprocessing.model_dump(mode="json")
    identity = provenance.key(data.digest, settings, code_digests()["activations"])
    return Cache(folder, gigabytes * 1e9, identity)


def _digests(module: nn.Module, known: BlockDigests) -> list[str]:
    """Return a digest of ``module`` without its children, and of each child, block by block.

    A frozen part is identified by the part that it computes, not by its merged copy.
    """
    kind = type(module).__name__
    if isinstance(module, FrozenPart):
        module = module.part
    children: list[nn.Module] = []
    for child in module.children():
        children.extend(child if isinstance(child, nn.ModuleList) else [child])
    for child in children:
        if child not in known:
            known[child] = _digest(str(child), child.state_dict().items())
    own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    own_digest = _digest(f"{kind}({module.extra_repr()})", own)
    return [own_digest, *(known[child] for child in children)]


def _digest(text: str, tensors: Iterable[tuple[str, Tensor]]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, value in tensors:
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
