"""What ``prepare`` wrote, as the other stages read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.data import manifest
from thaw.data.loader import ImageSource
from thaw.data.pack import PackedStore
from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config import Augment
    from thaw.data.transforms import Preprocessing


class Prepared:
    """The manifest and the packed images."""

    def __init__(self, folder: Path) -> None:
        if not (folder / manifest.FILE).exists():
            raise ThawError(f"{folder} holds no prepared data: run `dvc repro`")
        self.manifest = manifest.read(folder)
        self.store = PackedStore(folder)

    def images(
        self,
        split: str,
        preprocessing: Preprocessing,
        seed: int = 0,
        augmentation: Augment | None = None,
    ) -> ImageSource:
        """The images of ``train``, ``val`` or ``test`` as inputs of a network."""
        ids = self.manifest.ids(split)
        targets = self.manifest.targets
        return ImageSource(self.store, ids, targets, preprocessing, seed, augmentation)
