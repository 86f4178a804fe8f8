"""The list of backbones: names that match a text, their sizes, and where their weights are."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import huggingface_hub
import timm
import torch
from torchvision import models

from thaw.errors import ThawError
from thaw.model import zoo
from thaw.model.outline_build import count_weights, meta_backbone
from thaw.model.weights import PACKAGED

if TYPE_CHECKING:
    from collections.abc import Sequence

NONE, PACKAGE, HERE, DOWNLOAD = "none", "packaged", "on this disk", "to download"
_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Entry:
    """A backbone that can be named in ``backbone.name``.

    Attributes:
        weights: ``none``, ``packaged``, ``on this disk`` or ``to download``.
        image_size: The side in pixels of the images that the weights were made for.
        blocks: The number of blocks; None if it was not asked for, or the network cannot be cut.
        parameters: The number of parameters of the blocks; None as above.
    """

    name: str
    weights: str
    image_size: int
    blocks: int | None = None
    parameters: int | None = None


def find(text: str) -> list[str]:
    """Return the names that contain ``text`` or match it as a pattern with ``*`` and ``?``."""
    pattern = text if any(mark in text for mark in "*?[") else f"*{text}*"
    return [name for name in zoo.names() if fnmatch.fnmatch(name, pattern)]


def describe(names: Sequence[str], *, with_sizes: bool) -> list[Entry]:
    """Return an entry for each name; the sizes of a network take about a tenth of a second."""
    return [_entry(name, with_sizes=with_sizes) for name in names]


def _entry(name: str, *, with_sizes: bool) -> Entry:
    weights, image_size = _weights(name)
    if not with_sizes:
        return Entry(name, weights, image_size)
    try:
        backbone = meta_backbone(name)
    except ThawError:
        return Entry(name, weights, image_size)
    parameters = sum(count_weights(block) for block in backbone.blocks)
    return Entry(name, weights, backbone.image_size, len(backbone.blocks), parameters)


def _weights(name: str) -> tuple[str, int]:
    """Return where the default weights of a network are, and the side of their images."""
    library, _, model = name.partition("/")
    if library == "torchvision":
        known = models.get_model_weights(model)["DEFAULT"]
        return _on_disk(Path(known.url).name), known.transforms().crop_size[0]
    if library != "timm":
        return NONE, 32
    config = timm.get_pretrained_cfg(model)
    size = config.input_size[-1] if config else 224
    if name == PACKAGED:
        return PACKAGE, size
    if config is None or not config.has_weights:
        return NONE, size
    if config.hf_hub_id:
        found = [huggingface_hub.try_to_load_from_cache(config.hf_hub_id, f) for f in _FILES]
        return (HERE if any(isinstance(path, str) for path in found) else DOWNLOAD), size
    return _on_disk(Path(config.url).name), size


def _on_disk(file: str) -> str:
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    return HERE if path.is_file() else DOWNLOAD
