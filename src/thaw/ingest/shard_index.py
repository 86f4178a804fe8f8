"""The samples in a tar shard: their labels, and where their images are in the file.

Consecutive members whose names are equal up to the first dot form a sample, as in the `webdataset`
library; what follows the dot is the name of a field.
"""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from thaw.data.decoding import EXTENSIONS
from thaw.data.split_names import SPLITS
from thaw.ingest.listing import BadFile, Sample, is_utf8
from thaw.ingest.split_spelling import spelling_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thaw.ingest.listing import Fields

    _Member = tuple[str, str, tarfile.TarInfo]

_NAME = re.compile(r"((?:.*/|)[^.]+)\.([^/]*)", re.DOTALL)
_META = re.compile(r"__[^/]*__($|/)")  # members that describe the shard
_JSON = "json."
_LONGEST_FIELD = 1 << 20  # bytes of a label or of JSON
_BLOCK = 512  # bytes


@dataclass(frozen=True)
class Span:
    """The bytes of an image in a file, and the file's modification time in nanoseconds."""

    file: Path
    offset: int
    length: int
    modified: int


@dataclass
class ShardIndex:
    """The samples of a shard with their ``spans``, and what cannot be used."""

    samples: list[Sample] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    bad_files: list[BadFile] = field(default_factory=list)


class _Shard(NamedTuple):
    file: Path
    name: str
    split: str | None


class _FieldError(Exception):
    """A field of a sample is missing or cannot be used; the message states the reason."""


def index_shard(file: Path, name: str, fields: Fields, split: str | None) -> ShardIndex:
    """Return the samples of the tar file ``file``; no image is read.

    ``name`` is the path of the shard in messages and in the manifest. ``split`` is that of all
    samples if ``fields`` names no field for it. A damaged shard is a bad file, beside the samples
    before the damage.
    """
    index, problem = ShardIndex(), None
    try:
        with tarfile.open(file, mode="r:") as archive:
            members, problem = _members(archive)
            _add_samples(index, archive, members, _Shard(file, name, split), fields)
    except tarfile.TarError as error:
        problem = str(error)
    if problem:
        reason = f"not a complete tar file without compression: {problem}; copy the shard again"
        index.bad_files.append(BadFile(name, reason))
    return index


def _add_samples(
    index: ShardIndex,
    archive: tarfile.TarFile,
    members: Iterable[_Member],
    shard: _Shard,
    fields: Fields,
) -> None:
    """Add the samples with ``members`` to ``index``."""
    keys = set[str]()
    modified = shard.file.stat().st_mtime_ns
    for key, group in groupby(members, key=lambda member: member[0]):
        shown = f"{shard.name}/{key}"
        try:
            found = _by_suffix(shown, group)
            suffix, image = _image(found)
            label = _text(archive, found, fields.label)
            own = _split(archive, found, fields) if fields.split else shard.split
        except _FieldError as error:
            index.bad_files.append(BadFile(shown, str(error)))
            continue
        if key in keys:
            index.bad_files.append(BadFile(shown, "the key occurs twice in the shard", label))
            continue
        keys.add(key)
        index.samples.append(Sample(f"{shown}.{suffix}", label, own))
        index.spans.append(Span(shard.file, image.offset_data, image.size, modified))


def _members(archive: tarfile.TarFile) -> tuple[list[_Member], str | None]:
    """Return key, field and header of each file of a sample, and why the archive is damaged."""
    found: list[_Member] = []
    try:
        for info in archive:
            match = None if _META.match(info.name) else _NAME.fullmatch(info.name)
            if info.isreg() and match:
                found.append((match[1], match[2].lower(), info))
    except tarfile.TarError as error:
        return found, str(error)
    is_complete = Path(str(archive.name)).stat().st_size >= archive.offset + _BLOCK
    return found, None if is_complete else "the end of the archive is missing"


def _by_suffix(shown: str, members: Iterable[_Member]) -> dict[str, tarfile.TarInfo]:
    """Return the header of each field of the sample whose name in messages is ``shown``."""
    found: dict[str, tarfile.TarInfo] = {}
    for _, suffix, info in members:
        if not is_utf8(shown + suffix):
            raise _FieldError("the name is not valid UTF-8")
        if suffix in found:
            raise _FieldError(f"the field {suffix} occurs twice: give each sample its own key")
        found[suffix] = info
    return found


def _image(found: dict[str, tarfile.TarInfo]) -> tuple[str, tarfile.TarInfo]:
    """Return name and header of the image field."""
    images = [suffix for suffix in found if f".{suffix}" in EXTENSIONS]
    if len(images) != 1:
        state = f"two images ({', '.join(images)})" if images else "no image"
        raise _FieldError(f"{state}; the fields are {', '.join(sorted(found))}")
    return images[0], found[images[0]]


def _split(archive: tarfile.TarFile, found: dict[str, tarfile.TarInfo], fields: Fields) -> str:
    text = _text(archive, found, fields.split)
    spelling = spelling_of(text)
    if spelling is None or spelling.rest or spelling.kind not in SPLITS:
        raise _FieldError(f"{fields.split} is {text!r}, but must be one of {', '.join(SPLITS)}")
    return spelling.kind


def _text(archive: tarfile.TarFile, found: dict[str, tarfile.TarInfo], name: str) -> str:
    """Return the value of a field as text."""
    suffix, _, key = name.partition(".")
    is_json = name.startswith(_JSON)
    suffix = suffix if is_json else name
    if suffix not in found:
        raise _FieldError(f"no field {suffix}; the fields are {', '.join(sorted(found))}")
    if found[suffix].size > _LONGEST_FIELD:
        raise _FieldError(f"the field {suffix} has {found[suffix].size:,} bytes")
    stream = archive.extractfile(found[suffix])
    content = stream.read() if stream else b""
    try:
        text = content.decode("utf-8")
        text = _json_value(json.loads(text), key) if is_json else text.strip()
    except (ValueError, RecursionError):
        raise _FieldError(f"the field {suffix} is not {'JSON' if is_json else 'UTF-8'}") from None
    if not text:
        raise _FieldError(f"the field {name} is empty")
    if not is_utf8(text):  # JSON can escape half of a surrogate pair
        raise _FieldError(f"the field {name} is not UTF-8")
    return text


def _json_value(content: Any, key: str) -> str:
    """Return the value of ``key``, which may have dots, in JSON."""
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            raise _FieldError(f"the JSON has no {key}")
        content = content[part]
    if not isinstance(content, str | int) or isinstance(content, bool):
        raise _FieldError(f"{_JSON}{key} is neither a text nor a whole number")
    return str(content).strip()
