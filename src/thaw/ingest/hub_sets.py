"""Data sets of the Hugging Face Hub: ``data.source: hf:NAME``.

The files of the data set are in ``data.path`` (:mod:`thaw.ingest.hub_files`). The bytes of its
images are written as files, because images are checked as files.
"""

from __future__ import annotations

import io
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image as PillowImage

from thaw.errors import ThawError
from thaw.ingest import hub_files
from thaw.ingest.hub_files import PREFIX
from thaw.ingest.listing import BadFile, Listing, Sample
from thaw.ingest.split_spelling import resolve_splits, spelling_of
from thaw.system import provenance
from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADDRESS = re.compile(r"(?P<name>[^:#]+)(:(?P<config>[^:#]+))?(#(?P<column>[^:#]+))?")


class ColumnsError(ThawError):
    """Not one column of a data set contains images, or not one contains the classes."""


@dataclass(frozen=True)
class Address:
    """The parts of ``hf:NAME[:CONFIG][#COLUMN]``: repository, configuration, column of labels."""

    name: str
    config: str | None
    column: str | None

    @classmethod
    def parse(cls, source: str) -> Address:
        """Return the parts of ``source``.

        Raises:
            ThawError: it has another form.
        """
        found = _ADDRESS.fullmatch(source.removeprefix(PREFIX))
        if not found:
            raise ThawError(
                f"data.source: {source}: write hf:NAME, hf:NAME:CONFIG or hf:NAME#COLUMN"
            )
        return cls(found["name"], found["config"], found["column"])


def list_hub(source: str, root: Path, scratch: Path) -> Listing:
    """List the images of ``source``, whose repository is in ``root``, as files below ``scratch``.

    Raises:
        ThawError: the repository is not there and cannot be downloaded; or it has no images with
            labels, or several columns of them.
    """
    address = Address.parse(source)
    splits = hub_files.splits_of(address.name, address.config, root)
    columns = _Columns.of(splits, address, source)
    key = provenance.key(source, *sorted(_states(root)))[:16]
    folder = scratch / "hub" / key
    for other in (scratch / "hub").glob("*"):  # of other data sets, or of earlier files
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    listing = Listing(folder, [], [])
    samples = []
    for name, rows in columns.splits.items():
        split = _split_of(name, columns.splits)
        for number, row in enumerate(rows):
            label = columns.label_of(row)
            if label is None:
                listing.ignored["images without a label"] += 1
                continue
            if (content := _content(row[columns.image])) is None:
                bad = BadFile(f"{name}/{number:08d}", "the row has no image", label)
                listing.bad_files.append(bad)
                continue
            path = f"{name}/{number:08d}{_ending(content)}"
            if not (folder / path).is_file():
                (folder / name).mkdir(parents=True, exist_ok=True)
                write_whole(folder / path, content)
            samples.append(Sample(path, label, split))
    listing.samples, listing.classes = samples, sorted({each.label for each in samples})
    return listing


def list_labels(source: str, root: Path) -> Listing:
    """List the labels and splits of the data set in ``root``, without its images.

    Raises:
        ThawError: as :func:`list_hub`.
    """
    address = Address.parse(source)
    splits = hub_files.splits_of(address.name, address.config, root)
    columns = _Columns.of(splits, address, source)
    listing = Listing(root, [], [])
    samples = []
    for name, rows in columns.splits.items():
        split = _split_of(name, columns.splits)
        for number, row in enumerate(rows.select_columns([columns.label])):
            label = columns.label_of(row)
            if label is None:
                listing.ignored["images without a label"] += 1
            else:
                samples.append(Sample(f"{name}/{number:08d}", label, split))
    listing.samples, listing.classes = samples, sorted({each.label for each in samples})
    return listing


@dataclass(frozen=True)
class _Columns:
    """The rows of each split, with the names of the columns of images and labels.

    ``names`` are the classes; empty if the labels are texts.
    """

    splits: dict[str, Any]
    image: str
    label: str
    names: list[str]

    @classmethod
    def of(cls, splits: dict[str, Any], address: Address, source: str) -> _Columns:
        """Find the columns.

        Raises:
            ColumnsError: there is not one column of images, or not one of labels.
        """
        from datasets import ClassLabel, Image, Value

        features = dict(next(iter(splits.values())).features or {})
        images = [name for name, kind in features.items() if isinstance(kind, Image)]
        labels = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
        if not labels:
            texts = {"string", "large_string"}
            labels = [
                name
                for name, kind in features.items()
                if name in {"label", "labels", address.column}
                and isinstance(kind, Value)
                and kind.dtype in texts
            ]
        if address.column:
            labels = [name for name in labels if name == address.column]
        elif "label" in labels:
            labels = ["label"]
        if len(images) != 1 or len(labels) != 1:
            raise ColumnsError(
                f"data.source: {source} has the columns {', '.join(features) or 'none'}: one has "
                f"to contain images (found: {', '.join(images) or 'none'}), and one the classes "
                f"(found: {', '.join(labels) or 'none'}); {PREFIX}NAME#COLUMN chooses the latter"
            )
        undecoded = {
            name: rows.cast_column(images[0], Image(decode=False)) for name, rows in splits.items()
        }
        return cls(undecoded, images[0], labels[0], getattr(features[labels[0]], "names", []))

    def label_of(self, row: dict[str, Any]) -> str | None:
        """Return the class of a row; None if it has none (-1 in test splits without labels)."""
        value = row[self.label]
        if value is None or value == "" or (self.names and value < 0):
            return None
        return self.names[value] if self.names else str(value)


def _states(root: Path) -> Iterator[str]:
    """Yield what changes if a file of the repository does."""
    for path in root.rglob("*"):
        if path.is_file():
            found = path.stat()
            yield f"{path.relative_to(root)} {found.st_size} {found.st_mtime_ns}"


def _split_of(name: str, others: dict[str, Any]) -> str | None:
    """Return train, val or test for the split ``name`` of the set, whose splits are ``others``.

    None if it is the only split: thaw divides the images then.

    Raises:
        ThawError: a name is that of no split, or two exclude each other.
    """
    if len(others) == 1:
        return None
    kinds = {each: spelling.kind for each in others if (spelling := spelling_of(each))}
    if missing := [each for each in others if each not in kinds]:
        raise ThawError(
            f"data.source: the split {missing[0]} is neither training nor validation nor test: "
            "export the splits that you need into folders, and use data.source folder"
        )
    try:
        return resolve_splits(kinds.values())[kinds[name]]
    except ValueError as error:
        raise ThawError(
            f"data.source: the splits {', '.join(others)}: {error}: export the splits that you "
            "need into folders, and use data.source folder"
        ) from error


def _content(value: Any) -> bytes | None:
    """Return the bytes of an image, which a row holds or names; None if it has no image."""
    if value is None or value["bytes"] is value["path"] is None:
        return None
    content = value["bytes"]
    return bytes(content) if content is not None else Path(value["path"]).read_bytes()


def _ending(content: bytes) -> str:
    """Return the usual ending of a file with this content; none if it is no image."""
    try:
        with PillowImage.open(io.BytesIO(content)) as image:
            return f".{(image.format or '').lower()}"
    except Exception:  # whatever Pillow raises: the check of images names the file
        return ""
