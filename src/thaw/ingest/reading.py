"""Read every image of a listing: decode it, and compute what identifies it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from thaw.data.decoding import DecodeError, decode
from thaw.data.packed_store import pack_problem
from thaw.ingest.duplicates import difference_hash
from thaw.system.bounded_pool import map_in_order
from thaw.system.files import resolved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from thaw.config.data_sections import Prepare
    from thaw.data.pixel_range import UsedRange
    from thaw.ingest.listing import Listing, Sample

_PENDING_PER_CORE = 4  # decoded images that wait for the writer: bounds the memory


@dataclass(frozen=True)
class ImageRecord:
    """A readable sample.

    ``digest`` is the SHA-256 of the file. ``group`` is that of the pixels: images with equal pixels
    have the same. ``width`` and ``height`` are those of the original image. ``conversions`` names
    what decoding converted. ``used`` is the range of values of an image of more than 8 bits per
    sample. ``hash`` is the difference hash; None where near-duplicates are not searched for, or the
    image has too little structure.
    """

    sample: Sample
    digest: str
    group: str
    width: int
    height: int
    conversions: tuple[str, ...]
    used: UsedRange | None
    hash: int | None


@dataclass(frozen=True)
class ReadImage:
    """A decoded image (H, W, 3) with its record."""

    record: ImageRecord
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Problem:
    """An image that cannot be used; ``text`` states the file and the reason."""

    text: str


def read_images(listing: Listing, config: Prepare) -> Iterator[ReadImage | Problem]:
    """Decode every sample of ``listing`` on all cores, in order."""
    read = partial(_read, listing.root, listing.root.resolve(), config)
    return map_in_order(read, listing.samples, pending_per_core=_PENDING_PER_CORE)


def _read(root: Path, resolved_root: Path, config: Prepare, sample: Sample) -> ReadImage | Problem:
    path = root / sample.path
    try:
        sample.path.encode("utf-8")
        if not resolved(path).is_relative_to(resolved_root):
            return Problem(f"{path}: is outside the data folder {root}")
        if path.exists() and not path.is_file():
            return Problem(f"{path}: not a file")
        content = path.read_bytes()
        image = decode(
            content,
            short_side=config.short_side,
            max_megapixels=config.max_megapixels,
            pixel_range=config.range,
        )
    except UnicodeEncodeError:
        return Problem(f"{path!r}: the file's name is not valid UTF-8")
    except ValueError as error:
        return Problem(f"{str(path)!r}: {error}")
    except OSError as error:
        return Problem(f"{path}: {error.strerror or error}")
    except DecodeError as error:
        return Problem(f"{path}: {error}")
    if problem := pack_problem(image.pixels, config):
        return Problem(f"{path}: {problem}")
    record = ImageRecord(
        sample=sample,
        digest=hashlib.sha256(content).hexdigest(),
        group=_pixel_digest(image.pixels),
        width=image.width,
        height=image.height,
        conversions=image.conversions,
        used=image.used,
        hash=difference_hash(image.pixels) if config.near_duplicates else None,
    )
    return ReadImage(record, image.pixels)


def _pixel_digest(pixels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 over shape and pixels."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.ravel().data)
    return digest.hexdigest()
