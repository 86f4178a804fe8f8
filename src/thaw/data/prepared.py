"""What ``prepare`` wrote, as the other stages read it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from thaw.data import manifest
from thaw.data.loading import ImageSource
from thaw.data.packed_store import PackedStore
from thaw.errors import ThawError
from thaw.system import provenance

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.data_sections import Augment
    from thaw.data.preprocessing import Preprocessing


class Prepared:
    """The manifest and the packed images."""

    def __init__(self, folder: Path) -> None:
        if not (folder / manifest.FILE).exists():
            raise ThawError(f"{folder} holds no prepared data: run `dvc repro`")
        self.manifest = manifest.read(folder)
        self.store = PackedStore(folder)

    @property
    def digest(self) -> str:
        """Of everything that training reads: ids, labels, splits and packed pixels."""
        return provenance.key(self.manifest.digest, self.store.settings["sha256"])

    def split_digest(self, split: str) -> str:
        """SHA-256 over ids, labels and pixels of a split: equal digests, the same test."""
        digest = hashlib.sha256()
        for image_id in self.manifest.ids(split):
            pixels = self.store.read(int(image_id))
            row = self.manifest.rows[image_id]
            digest.update(repr((row.id, row.label, pixels.shape)).encode())
            digest.update(pixels.tobytes())
        return digest.hexdigest()

    def images(
        self,
        split: str,
        preprocessing: Preprocessing,
        seed: int = 0,
        augmentation: Augment | None = None,
    ) -> ImageSource:
        """The images of ``train``, ``val`` or ``test`` as inputs of a network."""
        return ImageSource(
            self.store,
            self.manifest.ids(split),
            self.manifest.targets,
            preprocessing,
            seed,
            augmentation,
            classes=len(self.manifest.classes),
        )
