"""The output of the stage prepare, as the other stages read it."""

from __future__ import annotations

import csv
import hashlib
from typing import TYPE_CHECKING

from thaw.data import integrity, manifest
from thaw.data.loading import ImageSource
from thaw.data.packed_store import PackedStore
from thaw.errors import ThawError
from thaw.system import provenance

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.data_sections import FixedAugment
    from thaw.data.preprocessing import Preprocessing
    from thaw.data.split_names import SplitName


class Prepared:
    """The prepared data: manifest and packed images.

    Every file is compared with its digest: here, and the packed images when they are read.

    Raises:
        ThawError: ``folder`` contains no prepared data, or damaged data.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / manifest.FILE).exists():
            raise ThawError(f"{folder} contains no prepared data: run `dvc repro prepare`")
        self.store = PackedStore(folder)
        integrity.check_files(folder, self.store.settings)
        self.store.check_earlier()
        try:
            self.manifest = manifest.read(folder)
        except (ValueError, LookupError, TypeError, csv.Error) as error:  # of an earlier version
            raise integrity.DamagedError(
                integrity.damage(folder / manifest.FILE, repr(error))
            ) from None
        if len(self.manifest.rows) != len(self.store):
            reason = f"it has {len(self.manifest.rows)} rows for {len(self.store)} images"
            raise integrity.DamagedError(integrity.damage(folder / manifest.FILE, reason))

    @property
    def digest(self) -> str:
        """Return the digest of ids, labels, splits and packed pixels."""
        return provenance.key(self.manifest.digest, self.store.settings["sha256"])

    def split_digest(self, split: SplitName) -> str:
        """Return the SHA-256 over ids, labels and pixels of a split.

        Scores are comparable if the digests of their test splits are equal.
        """
        digest = hashlib.sha256()
        for image_id in self.manifest.ids(split):
            pixels = self.store.read(int(image_id))
            row = self.manifest.rows[image_id]
            digest.update(repr((row.id, row.label, pixels.shape)).encode())
            digest.update(pixels.tobytes())
        return digest.hexdigest()

    def images(
        self,
        split: SplitName,
        preprocessing: Preprocessing,
        seed: int = 0,
        augmentation: FixedAugment | None = None,
    ) -> ImageSource:
        """Return the images of ``train``, ``val`` or ``test`` as inputs of a network."""
        return ImageSource(
            self.store,
            self.manifest.ids(split),
            self.manifest.targets,
            preprocessing,
            seed,
            augmentation,
        )
