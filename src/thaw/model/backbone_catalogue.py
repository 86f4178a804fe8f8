"""The list of backbones: names that match a text, their sizes, and where their weights are."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from thaw.errors import ThawError
from thaw.model import lenet, timm_backbones, torchvision_backbones, zoo
from thaw.model.meta_classifier import count_weights, meta_backbone
from thaw.model.weights import PACKAGED

NONE, PACKAGE, HERE, DOWNLOAD = "none", "packaged", "on this disk", "to download"


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
    """Return the names that contain ``text`` or match it as a pattern with ``*`` and ``?``.

    Upper and lower case do not differ.
    """
    pattern = (text if any(mark in text for mark in "*?[") else f"*{text}*").lower()
    return [name for name in zoo.names() if fnmatch.fnmatchcase(name.lower(), pattern)]


def describe(name: str, *, with_sizes: bool) -> Entry:
    """Return the entry of a network; its sizes take about a tenth of a second."""
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
        found = torchvision_backbones.published_weights(model)
    elif library == "timm":
        found = timm_backbones.published_weights(model)
    else:
        return NONE, lenet.INPUT_SETTINGS.image_size
    if name == PACKAGED:
        return PACKAGE, found.image_size
    if found.is_on_disk is None:
        return NONE, found.image_size
    return (HERE if found.is_on_disk else DOWNLOAD), found.image_size
