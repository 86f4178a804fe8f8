"""Write packed images: their file or files, and their index and settings at the end.

A writer can continue in files that an earlier process has begun: its images are compared with
their checksums, and stay where they are.
"""

from __future__ import annotations

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from thaw.data.image_files import ImageFiles, remove
from thaw.data.pack_index import PackIndex
from thaw.data.packed_store import IMAGES, INDEX, SETTINGS
from thaw.errors import ThawError
from thaw.system.checksums import checksum
from thaw.system.files import write_parts, write_whole
from thaw.system.storage_errors import write_failure

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from thaw.config.prepare_section import Prepare

JPEG_QUALITY = 95
_LONGEST_JPEG = 65_500  # pixels on a side; the limit of libjpeg


class PackedSize(NamedTuple):
    """Bytes, height and width in pixels, and checksum of a packed image."""

    length: int
    height: int
    width: int
    checksum: int


def pack_problem(pixels: NDArray[np.uint8], config: Prepare) -> str | None:
    """Return why an image (H, W, 3) is too large for a JPEG; None if it fits or is stored raw."""
    height, width, _ = pixels.shape
    if config.encoding != "jpeg" or max(height, width) <= _LONGEST_JPEG:
        return None
    return (
        f"{width} x {height} pixels at prepare.short_side, and a JPEG has at most {_LONGEST_JPEG} "
        "on a side: crop it, lower prepare.short_side, or set prepare.encoding to raw"
    )


def encode(pixels: NDArray[np.uint8], config: Prepare) -> tuple[bytes | memoryview, PackedSize]:
    """Return the bytes that are stored of an image (H, W, 3), and their size."""
    height, width, _ = pixels.shape
    content: bytes | memoryview
    if config.encoding == "jpeg":
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        content = buffer.getvalue()
    else:
        content = np.ascontiguousarray(pixels).reshape(-1).data
    return content, PackedSize(len(content), height, width, checksum(content))


class PackWriter:
    """A context manager that appends images, and writes the index if no error occurred.

    With ``partial``, images are written to this file (a folder with ``prepare.shard_mb``), which is
    moved into ``folder`` at the end: it stays where an error occurs, and the next writer may
    :meth:`keep` its images.

    Raises:
        ThawError: the file cannot be written.
    """

    def __init__(self, folder: Path, config: Prepare, partial: Path | None = None) -> None:
        self._folder = folder
        self._config = config
        self._index = PackIndex()
        self._offset = 0
        self._digest = hashlib.sha256()
        self._hasher = ThreadPoolExecutor(1)  # it hashes while this thread writes
        self._path = partial or folder / IMAGES
        try:
            # DVC may have linked an earlier file to its cache: writing would change the cache.
            remove(folder / IMAGES)
            self._files = ImageFiles(self._path, config.shard_mb * 1_000_000)
        except OSError as error:
            raise ThawError(write_failure(self._path, error)) from error

    def __enter__(self) -> PackWriter:
        return self

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Append an image (H, W, 3).

        Raises:
            ThawError: the file cannot be written.
        """
        content, size = encode(pixels, self._config)
        self.append(content, [size])

    def append(self, content: Buffer, sizes: Sequence[PackedSize]) -> None:
        """Append the ``content`` of images that are encoded already.

        Raises:
            ThawError: the file cannot be written.
        """
        hashing = self._hasher.submit(self._digest.update, content)
        try:
            self._files.write(content, [size.length for size in sizes])
        except OSError as error:
            what = f"{sum(size.length for size in sizes):,} bytes"
            raise ThawError(write_failure(self._path, error, what)) from error
        finally:
            hashing.result()
        self._note(sizes)

    def keep(self, sizes: Sequence[PackedSize]) -> bool:
        """Keep the next images of the file that an earlier writer has begun.

        Returns whether it has images of ``sizes``; if not, nothing is kept, and :meth:`append`
        replaces the rest of the file.
        """
        place = tuple(self._files.sizes)
        content = memoryview(self._files.read(size.length for size in sizes))
        start = 0
        for size in sizes:
            part = content[start : start + size.length]
            if len(part) != size.length or checksum(part) != size.checksum:
                self._files.go_back(place)
                return False
            start += size.length
        self._digest.update(content)
        self._note(sizes)
        return True

    def flush(self) -> None:
        """Hand everything to the operating system: it is kept when this process is killed."""
        self._files.flush()

    def _note(self, sizes: Sequence[PackedSize]) -> None:
        for size in sizes:
            self._index.append((self._offset, *size))
            self._offset += size.length

    def leave_out(self, numbers: Collection[int]) -> None:
        """Remove added images, by their position, from the index; their bytes stay in the file."""
        self._index = self._index.without(numbers)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hasher.shutdown()
        if kind is not None:
            # close() flushes and can fail again; the first error is the one to report.
            with suppress(OSError):
                self._files.close()
            return
        settings: dict[str, object] = {
            "short_side": self._config.short_side,
            "max_megapixels": self._config.max_megapixels,
            "range": self._config.range,
            "encoding": self._config.encoding,
            "sha256": self._digest.hexdigest(),
        }
        if self._config.jpeg_pixels != "reduced":  # the file of earlier versions stays the same
            settings["jpeg_pixels"] = self._config.jpeg_pixels
        if self._config.shard_mb:
            settings["shards"] = self._files.sizes
        try:
            self._files.finish(self._folder / IMAGES)
        except OSError as failed:
            what = f"{self._offset:,} bytes"
            raise ThawError(write_failure(self._path, failed, what)) from failed
        write_parts(self._folder / INDEX, self._index.npy_parts())
        write_whole(self._folder / SETTINGS, json.dumps(settings).encode())
