"""Read an image of a listing: decode it, and compute what identifies it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.data.decode_error import DecodeError
from thaw.data.decoding import decode
from thaw.data.large_files import unread_reason
from thaw.data.pack_writer import pack_problem
from thaw.ingest.duplicates import difference_hash
from thaw.ingest.file_states import FileState
from thaw.ingest.listing import BadFile, is_utf8
from thaw.ingest.path_spellings import similar_spelling
from thaw.system.dvc_cache import cache_folder
from thaw.system.files import resolved

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from thaw.config.prepare_section import Prepare
    from thaw.data.decoding import Decoded
    from thaw.data.pixel_range import UsedRange
    from thaw.ingest.listing import Listing, Sample
    from thaw.ingest.shard_index import Span


@dataclass(frozen=True)
class ImageRecord:
    """A readable sample.

    ``state`` has the time and the SHA-256 of the file. ``group`` is the SHA-256 of the pixels:
    images with equal pixels have the same. ``width`` and ``height`` are those of the original
    image. ``conversions`` names what decoding converted. ``used`` is the range of values of an
    image of more than 8 bits per sample. ``hash`` is the difference hash; None where
    near-duplicates are not searched for, or the image has too little structure.
    """

    sample: Sample
    state: FileState
    group: str
    width: int
    height: int
    conversions: tuple[str, ...]
    used: UsedRange | None
    hash: int | None

    @property
    def digest(self) -> str:
        """The SHA-256 of the file."""
        return self.state.digest


@dataclass(frozen=True)
class Allowed:
    """The folders that files of the source may be in.

    Links may lead into ``cache``, to which DVC links the files of `dvc add`, and anywhere with
    ``follow_links``. ``resolved_root`` and ``cache`` contain no links.
    """

    root: Path
    resolved_root: Path
    cache: Path
    follow_links: bool

    def problem(self, path: Path, target: Path) -> str | None:
        """Return why ``path``, which leads to ``target``, must not be read; None if it may be."""
        if target.is_relative_to(self.resolved_root):
            return None
        reason = f"is outside the data folder {self.root}"
        name = os.path.abspath(path)  # noqa: PTH100  (links stay)
        if not Path(name).is_relative_to(os.path.abspath(self.root)):  # noqa: PTH100
            return (
                f"{reason}: data.root must be a folder that contains all images of the CSV file, "
                "and relative paths start there (if the file has both kinds, make all absolute)"
            )
        if self.follow_links or target.is_relative_to(self.cache):
            return None
        return f"{reason}, by a link; such links are followed with data.follow_links: true"


@dataclass(frozen=True)
class ReadImage:
    """A decoded image (H, W, 3) with its record."""

    record: ImageRecord
    pixels: NDArray[np.uint8]


def allowed_of(listing: Listing) -> Allowed:
    """Return the folders that files of ``listing`` may be in."""
    for function in (_resolved_folder, _is_within):  # an earlier listing may have found other links
        function.cache_clear()
    return Allowed(listing.root, listing.root.resolve(), cache_folder(), listing.follow_links)


def read_image(
    allowed: Allowed, config: Prepare, sample: Sample, span: Span | None = None
) -> ReadImage | BadFile:
    """Return the decoded image of ``sample`` with its record, or why it cannot be used.

    The image is the file of the sample, or the ``span`` of a shard.
    """
    path = allowed.root / sample.path
    state = None
    try:
        if span is None and (reason := _path_problem(path, allowed)):
            return BadFile(sample.path, reason, sample.label)
        if span is None and (reason := unread_reason(path)):
            return BadFile(sample.path, reason, sample.label)
        state, content = _read(path) if span is None else _read_span(span)
        image = decode(
            content,
            short_side=config.short_side,
            max_megapixels=config.max_megapixels,
            pixel_range=config.range,
            jpeg_pixels=config.jpeg_pixels,
        )
        if (reason := pack_problem(image.pixels, config)) is None:
            return ReadImage(_record(sample, state, image, config), image.pixels)
    except OSError as error:
        reason = _reason_of(error, sample, allowed)
    except DecodeError as error:
        reason = error.text_for_training
    except ValueError as error:  # a name with a zero byte
        reason = str(error)
    return BadFile(sample.path, reason, sample.label, state)


def refusal(allowed: Allowed, sample: Sample) -> str | None:
    """Return why the file of ``sample`` is not opened; None if it is. It is not read."""
    try:
        return _path_problem(allowed.root / sample.path, allowed)
    except OSError as error:
        return _reason_of(error, sample, allowed)
    except ValueError as error:  # a name with a zero byte
        return str(error)


def _reason_of(error: OSError, sample: Sample, allowed: Allowed) -> str:
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        reason += similar_spelling(sample.path, allowed.root)
    return reason


def read_state(allowed: Allowed, sample: Sample, span: Span | None) -> FileState | None:
    """Return the state of the file of ``sample``; None if it must not or cannot be read."""
    path = allowed.root / sample.path
    try:
        if span is not None:
            return _read_span(span)[0]
        return None if _path_problem(path, allowed) else _read(path)[0]
    except (OSError, ValueError):
        return None


def _read(path: Path) -> tuple[FileState, bytes]:
    """Return state and content of a file."""
    with path.open("rb", buffering=0) as stream:
        modified = os.fstat(stream.fileno()).st_mtime_ns
        content = stream.readall()
    return FileState(modified, hashlib.sha256(content).hexdigest()), content


def _read_span(span: Span) -> tuple[FileState, bytes]:
    """Return state and content of an image in a shard; the time is that of the shard."""
    with span.file.open("rb") as stream:
        stream.seek(span.offset)
        content = stream.read(span.length)
    return FileState(span.modified, hashlib.sha256(content).hexdigest()), content


def _path_problem(path: Path, allowed: Allowed) -> str | None:
    """Return why the file at ``path`` is not read; None if it is.

    Raises:
        OSError: it does not exist, or a link leads back to itself.
        ValueError: the name contains a zero byte.
    """
    if not is_utf8(str(path)):
        return "the file's name is not valid UTF-8"
    if _is_within(path.parent, allowed.resolved_root) and stat.S_ISREG(path.lstat().st_mode):
        return None
    target = _resolved(path)
    if path.is_symlink() and not target.exists():
        inside = target.is_relative_to(allowed.resolved_root)
        shown = target.relative_to(allowed.resolved_root) if inside else target
        fetched = target.is_relative_to(allowed.cache)
        remedy = ": `dvc pull` fetches files that are missing in DVC's cache" if fetched else ""
        return f"a link to {shown}, which does not exist{remedy}"
    if problem := allowed.problem(path, target):
        return problem
    mode = path.stat().st_mode
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket"}
    found = next((kind for is_kind, kind in kinds.items() if is_kind(mode)), "a device")
    return None if stat.S_ISREG(mode) else f"not a file: {found}"


def _resolved(path: Path) -> Path:
    """Return ``path`` with its links followed; that of its folder is looked up once.

    Raises:
        OSError: a link leads back to itself.
    """
    return resolved(path) if path.is_symlink() else _resolved_folder(path.parent) / path.name


@lru_cache(maxsize=256)
def _resolved_folder(folder: Path) -> Path:
    return resolved(folder)


@lru_cache(maxsize=256)
def _is_within(folder: Path, resolved_root: Path) -> bool:
    """Return whether ``folder``, with its links followed, is in ``resolved_root``."""
    return _resolved_folder(folder).is_relative_to(resolved_root)


def _record(sample: Sample, state: FileState, image: Decoded, config: Prepare) -> ImageRecord:
    return ImageRecord(
        sample=sample,
        state=state,
        group=_pixel_digest(image.pixels),
        width=image.width,
        height=image.height,
        conversions=image.conversions,
        used=image.used,
        hash=difference_hash(image.pixels) if config.near_duplicates else None,
    )


def _pixel_digest(pixels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 over shape and pixels."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.ravel().data)
    return digest.hexdigest()
