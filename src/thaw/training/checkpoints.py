"""Checkpoints: training can die anywhere and continue to the same bits.

They live in ``.thaw/``, outside DVC's outputs, which DVC removes before a re-run. A file's
name ends in the digest of its content, so that a damaged one is told from a good one; it is
written by fsync and rename, and the one before it is kept.
"""

from __future__ import annotations

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
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

_KEEP = 2
_NAME = re.compile(r"\d{6}-\d{9}-(?P<digest>[0-9a-f]{64})\.safetensors")


class Checkpoints:
    """The checkpoints of one training, told from others by ``key``, in ``folder/key``."""

    def __init__(
        self, folder: Path, key: str, warn: Callable[[str], None] = lambda _: None
    ) -> None:
        self.folder = folder / key
        self._warn = warn
        self.folder.mkdir(parents=True, exist_ok=True)
        for other in folder.iterdir():
            # Other parameters or data: what they had reached can never be continued from here.
            if other.is_dir() and other != self.folder:
                shutil.rmtree(other, ignore_errors=True)

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
        kept = paths[: paths.index(written) + 1][-_KEEP:]
        for path in paths:
            if path not in kept:  # older ones, and damaged ones from beyond this place
                path.unlink()

    def latest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest checkpoint that is whole, or None; damaged ones are named and passed over."""
        for path in reversed(self._paths()):
            try:
                return _read(path)
            except (ValueError, KeyError, SafetensorError) as error:
                self._warn(f"{path} is damaged ({error}): the checkpoint before it is used")
        return None

    def clear(self) -> None:
        """Remove all of them: the training they belong to has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))


def join(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of several parts under one name each, for a checkpoint."""
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}


def split(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The parts that :func:`join` joined; one without tensors is empty."""
    parts: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, value in tensors.items():
        part, _, key = name.partition(".")
        parts[part][key] = value
    return parts


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    content = path.read_bytes()
    match = _NAME.fullmatch(path.name)
    assert match is not None
    if hashlib.sha256(content).hexdigest() != match["digest"]:
        raise ValueError("its digest is not the one in its name")
    # safetensors' own reader of bytes leaves the metadata out
    length = int.from_bytes(content[:8], "little")
    state = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["state"])
    return load_tensors(content), state
