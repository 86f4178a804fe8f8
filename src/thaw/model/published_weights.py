"""Published weights of a network, and whether they are in a cache on this disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
import torch

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class PublishedWeights:
    """The default weights of a network.

    Attributes:
        image_size: The side in pixels of the images that they were made for.
        is_on_disk: Whether they were downloaded already; None if none are published.
    """

    image_size: int
    is_on_disk: bool | None


def is_in_torch_cache(url: str) -> bool:
    """Return whether torch has downloaded the file of ``url``."""
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).is_file()


def is_in_hub_cache(repository: str) -> bool:
    """Return whether weights of a repository of the Hugging Face Hub were downloaded."""
    found = [huggingface_hub.try_to_load_from_cache(repository, file) for file in _HUB_FILES]
    return any(isinstance(path, str) for path in found)
