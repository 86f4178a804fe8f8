"""The packed image store: all decoded images, read through memory maps.

- ``images.bin``: the images one after the other, H x W x 3 bytes each, or the same images as JPEG
  files. Its name is the same for both encodings, because ``dvc.yaml`` lists it. With
  ``prepare.shard_mb`` it is a folder of files (``image_files.py``).
- ``index.npy``: (offset, length, height, width, checksum) of each image, int64. Indexes of earlier
  versions have no checksum.
- ``pack.json``: the settings of decoding, so that a served model decodes in the same way, the
  encoding, the SHA-256 of all bytes of images, the size of each shard in bytes, and digests of the
  other files (``integrity.py``).
"""

from __future__ import annotations

import io
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from thaw.data import earlier_packs
from thaw.data.image_files import MappedFiles
from thaw.data.integrity import DamagedError, damage, read_settings
from thaw.system.checksums import checksum

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

IMAGES = "images.bin"
INDEX = "index.npy"
SETTINGS = "pack.json"
COLUMNS = 5
_LONGEST_THUMBNAIL = 1024  # pixels on a side
# In which threads read a batch. Four copy 14,000 images of 320 x 256 pixels a second; more wait for
# each other.
_RAW_TASKS, _JPEG_TASKS = 4, 64


class PackedStore:
    """The packed images by id.

    Files are opened at the first read, so that a store can be sent to a loader process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    # The memory map is not pickled: each process maps the files itself.
    def __getstate__(self) -> dict[str, Path]:
        return {"_folder": self._folder}

    @cached_property
    def _index(self) -> NDArray[np.int64]:
        path = self._folder / INDEX
        try:
            index: NDArray[np.int64] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise DamagedError(damage(path, "it is missing or not an array")) from None
        if index.dtype != np.int64 or index.shape not in {(len(index), 4), (len(index), COLUMNS)}:
            raise DamagedError(damage(path, "it is not an array of thaw"))
        return index

    @cached_property
    def _is_raw(self) -> bool:
        return bool(self.settings["encoding"] == "raw")

    @cached_property
    def _files(self) -> MappedFiles:
        return MappedFiles(self._images, self.settings.get("shards"))

    @property
    def _images(self) -> Path:
        """The file or folder of images, of this or of an earlier version."""
        path = self._folder / IMAGES
        earlier = self._folder / earlier_packs.IMAGES[self.settings["encoding"]]
        return path if path.exists() or not earlier.exists() else earlier

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Return settings of decoding, ``encoding``, ``sha256``, and ``shards`` where there are."""
        settings = read_settings(self._folder / SETTINGS)
        return {"encoding": earlier_packs.encoding_of(self._folder), **settings}

    def __len__(self) -> int:
        return len(self._index)

    def shapes(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return (height, width) of the packed images ``ids`` (N,): (N, 2)."""
        return self._index[ids, 2:4]

    def check_earlier(self) -> None:
        """Check all images if the index has no checksums, because an earlier version wrote it.

        Raises:
            DamagedError: a file is damaged.
        """
        if len(self) and self._index.shape[1] < COLUMNS:
            earlier_packs.check(
                self._images,
                self.settings["sha256"],
                self._folder / INDEX,
                self._index,
                self.settings["encoding"],
            )

    def read(self, image_id: int) -> NDArray[np.uint8]:
        """Return the image, (H, W, 3).

        Raises:
            DamagedError: the file is damaged at this image.
        """
        content = self._content(image_id)
        height, width = (int(value) for value in self._index[image_id, 2:4])
        if self._is_raw:
            return np.array(content).reshape(height, width, 3)
        pixels = np.asarray(Image.open(io.BytesIO(content.tobytes())))
        if pixels.shape != (height, width, 3):
            raise DamagedError(damage(self._folder / INDEX, f"the size of image {image_id}"))
        return pixels

    @property
    def reading_tasks(self) -> int:
        """The number of tasks in which threads read a batch; decoding JPEGs needs all of them."""
        return _RAW_TASKS if self._is_raw else _JPEG_TASKS

    def read_into(
        self, ids: NDArray[np.int64], buffer: NDArray[np.uint8], lengths: Sequence[int]
    ) -> None:
        """Write the images ``ids`` (N,) into ``buffer``, one after the other.

        ``lengths`` (N,) are their bytes, H x W x 3 each. The GIL is released where it takes long.

        Raises:
            DamagedError: the file is damaged at one of the images.
        """
        end = 0
        for image_id, length in zip(ids.tolist(), lengths, strict=True):
            start, end = end, end + length
            content = self._content(image_id) if self._is_raw else self.read(image_id).reshape(-1)
            buffer[start:end] = content

    def _content(self, image_id: int) -> NDArray[np.uint8]:
        """Return the packed bytes of an image, after a comparison with its checksum."""
        offset, length, height, width, *known = self._index[image_id].tolist()
        try:
            content = self._files.content(offset, length)
        except (OSError, ValueError):
            path, _ = self._files.file(offset)
            raise DamagedError(damage(path, "it is missing or empty")) from None
        is_short = len(content) != length or (self._is_raw and length != height * width * 3)
        if is_short or (known and checksum(content.data) != known[0]):
            path, start = self._files.file(offset)
            first = offset - start
            reason = f"image {image_id}, bytes {first} to {first + length - 1}"
            raise DamagedError(damage(path, reason))
        return content

    def thumbnail(self, image_id: int) -> NDArray[np.uint8]:
        """Return the image for a figure, downsized to at most 1024 pixels on a side."""
        image = Image.fromarray(self.read(image_id))
        image.thumbnail((_LONGEST_THUMBNAIL, _LONGEST_THUMBNAIL))
        return np.asarray(image)
