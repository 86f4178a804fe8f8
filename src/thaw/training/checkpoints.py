"""Checkpoints: training that was killed at any point continues to the same bits.

They are stored in ``.thaw/`` and not in the outputs of DVC, which DVC removes before it runs a
stage again. The name of a file ends in the digest of its content, which shows damage. A file is
written with fsync and rename, and the checkpoint before it is kept.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import shutil
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    Content = tuple[dict[str, Tensor], dict[str, Any]]  # tensors and state

KEPT = 2  # the newest checkpoints
_NAME = re.compile(r"(?P<epoch>\d{6})-(?P<step>\d{9})-(?P<digest>[0-9a-f]{64})\.safetensors")


class Checkpoints:
    """The checkpoints of one training, which ``key`` identifies, in ``folder/key``."""

    def __init__(
        self,
        folder: Path,
        key: str,
        warn: Callable[[str], None] = lambda _: None,
        *,
        removes_others: bool = True,
    ) -> None:
        """Remove the checkpoints of other keys in ``folder``, if this process ``removes_others``.

        Only the process that holds the lock of the stage may do so: another command of other
        parameters may be training.
        """
        self.folder = folder / key
        self._warn = warn
        self.folder.mkdir(parents=True, exist_ok=True)
        for other in folder.iterdir() if removes_others else ():
            # Checkpoints of other parameters or data cannot be continued.
            if other.is_dir() and other != self.folder:
                shutil.rmtree(other, ignore_errors=True)

    def part(self, name: str) -> Checkpoints:
        """Return checkpoints in a folder of their own: of a process, or of another training."""
        found = copy.copy(self)
        found.folder = self.folder / name
        found.folder.mkdir(exist_ok=True)
        return found

    def save(
        self, place: tuple[int, int], tensors: Mapping[str, Tensor], state: Mapping[str, Any]
    ) -> None:
        """Write the checkpoint for ``place`` (epoch, step) with ``state``, which must be JSON."""
        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        content = save_tensors(plain, metadata={"state": json.dumps(state)})
        digest = hashlib.sha256(content).hexdigest()
        written = self.folder / f"{place[0]:06d}-{place[1]:09d}-{digest}.safetensors"
        write_whole(written, content)
        paths = self._paths()
        kept = paths[: paths.index(written) + 1][-KEPT:]
        for path in paths:
            if path not in kept:  # older ones, and damaged ones of later places
                path.unlink()

    def latest(self) -> Content | None:
        """Return the newest undamaged checkpoint, or None; warn about each damaged one."""
        return next((content for _, content in self._readable()), None)

    def intact(self) -> dict[tuple[int, int], Content]:
        """Return every undamaged checkpoint by its place (epoch, step), the newest first."""
        return dict(self._readable())

    def _readable(self) -> Iterator[tuple[tuple[int, int], Content]]:
        for path in reversed(self._paths()):
            match = _NAME.fullmatch(path.name)
            assert match is not None
            try:
                yield (int(match["epoch"]), int(match["step"])), _read(path)
            except (ValueError, KeyError, SafetensorError) as error:
                self._warn(f"{path} is damaged ({error}): the checkpoint before it is used")

    def clear(self) -> None:
        """Remove all checkpoints, after the training has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))


def join(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors of several parts in one mapping, by ``PART.NAME``, for a checkpoint."""
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}


def split(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the parts that :func:`join` joined; a part without tensors is empty."""
    parts: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, value in tensors.items():
        part, _, key = name.partition(".")
        parts[part][key] = value
    return parts


def _read(path: Path) -> Content:
    content = path.read_bytes()
    match = _NAME.fullmatch(path.name)
    assert match is not None
    if hashlib.sha256(content).hexdigest() != match["digest"]:
        raise ValueError("its digest is not the one in its name")
    # safetensors' own reader of bytes leaves the metadata out
    length = int.from_bytes(content[:8], "little")
    state = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["state"])
    return load_tensors(content), state
