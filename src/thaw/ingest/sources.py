"""Sources of labelled images: a folder per class, a CSV file, scikit-learn's digits.

To add a source, write a function that returns a :class:`Listing`, add it to ``SOURCES``, and add
its name to ``data.source`` in ``config/data_sections.py``.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from thaw.data.decoding import EXTENSIONS
from thaw.data.split_names import SPLITS, TRAIN, VAL
from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from thaw.config.data_sections import Data

# Accepted names of split folders.
_SPLIT_OF_FOLDER: dict[str, str] = {
    **{name: name for name in SPLITS},
    "valid": VAL,
    "validation": VAL,
}


@dataclass(frozen=True)
class Sample:
    """A labelled file; ``path`` is relative to the listing's root, with forward slashes."""

    path: str
    label: str
    split: str | None = None


@dataclass
class Listing:
    """The labelled files of a source.

    ``classes`` includes classes without images. ``problems`` are lines that name what must be
    corrected. ``ignored`` counts files that are not read, by kind.
    """

    root: Path
    samples: list[Sample]
    classes: list[str]
    problems: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def list_images(config: Data, scratch: Path) -> Listing:
    """List the images of the source ``config``.

    ``scratch`` is a folder for the files of sources that have none; they are written there.

    Raises:
        ThawError: a folder or file of the source is missing or unreadable.
    """
    return SOURCES[config.source].list_images(config, scratch)


def list_digits(folder: Path) -> Listing:
    """Write the digits into ``folder`` and list them."""
    write_digits(folder)
    return list_folder(folder)


def write_digits(folder: Path) -> None:
    """Write scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, as ``LABEL/INDEX.png``.

    Source: UCI Optical Recognition of Handwritten Digits, test part (Alpaydin & Kaynak 1998).
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    for label in np.unique(digits.target):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
    for index, (image, label) in enumerate(zip(pixels, digits.target, strict=True)):
        Image.fromarray(image).save(folder / str(label) / f"{index:04d}.png")


def list_folder(root: Path) -> Listing:
    """List a folder per class, or ``train``, ``val`` and ``test`` with a folder per class in each.

    Raises:
        ThawError: ``root`` is not a folder.
    """
    if not root.is_dir():
        raise ThawError(f"data.path: {root} is not a folder")
    listing = Listing(root, [], [])
    folders = _subfolders(root, listing)
    names = {folder.name for folder in folders}
    if TRAIN in names and names <= _SPLIT_OF_FOLDER.keys():
        _list_splits(folders, listing)
        return listing
    if TRAIN in names:
        others = ", ".join(sorted(names - _SPLIT_OF_FOLDER.keys()))
        listing.problems.append(
            f"{root}: contains train/ and also {others}: use a folder per class, or train/, val/ "
            "and test/ with a folder per class in each"
        )
    listing.classes = [folder.name for folder in folders]
    for folder in folders:
        _list_class(folder, None, listing)
    return listing


def list_csv(path: Path, root: Path) -> Listing:
    """List the rows of a CSV file with the columns ``path,label[,split]``.

    Paths are relative to ``root``. Other columns are ignored.

    Raises:
        ThawError: the file or ``root`` is missing, or the file is not CSV in UTF-8.
    """
    if not path.is_file():
        raise ThawError(f"data.path: {path} is not a file")
    if not root.is_dir():
        raise ThawError(f"data.root: {root} is not a folder")
    try:
        return _list_rows(path, root)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ThawError(f"{path} is not CSV in UTF-8: {error}") from None


def _list_rows(path: Path, root: Path) -> Listing:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = {"path", "label"} - set(reader.fieldnames or [])
        if missing:
            raise ThawError(
                f"{path}: no column {' and no column '.join(sorted(missing))}; "
                f"it has {', '.join(reader.fieldnames or ['nothing'])}"
            )
        has_split = "split" in (reader.fieldnames or [])
        listing = Listing(root, [], [])
        seen: set[str] = set()
        for row in reader:
            sample = Sample(row["path"] or "", row["label"] or "", row.get("split") or None)
            if problem := _row_problem(sample, seen, has_split=has_split):
                listing.problems.append(f"{path}, line {reader.line_num}: {problem}")
            else:
                seen.add(sample.path)
                listing.samples.append(sample)
    listing.classes = sorted({sample.label for sample in listing.samples})
    return listing


def _row_problem(sample: Sample, seen: set[str], *, has_split: bool) -> str | None:
    """Return what is wrong with a row; None if it can be used."""
    if not sample.path or not sample.label:
        return "the path or the label is empty"
    if has_split and sample.split not in SPLITS:
        return f"split is {sample.split!r}, but must be one of {', '.join(SPLITS)}"
    if sample.path in seen:
        return f"{sample.path} is listed twice"
    return None


def _list_splits(split_folders: Iterable[Path], listing: Listing) -> None:
    """Add the images of split folders, each with a folder per class, to ``listing``."""
    classes: set[str] = set()
    for split_folder in split_folders:
        for folder in _subfolders(split_folder, listing):
            classes.add(folder.name)
            _list_class(folder, _SPLIT_OF_FOLDER[split_folder.name], listing)
    listing.classes = sorted(classes)


def _subfolders(parent: Path, listing: Listing) -> list[Path]:
    """Return the folders in ``parent``, sorted; note other entries in ``listing``."""
    folders = []
    for entry in sorted(parent.iterdir()):
        if entry.name.startswith("."):
            listing.ignored["hidden files and folders"] += 1
        elif entry.is_dir():
            folders.append(entry)
        elif entry.suffix.lower() in EXTENSIONS:
            listing.problems.append(f"{entry}: an image outside of the class folders")
        else:
            listing.ignored[f"files outside the class folders ({entry.name})"] += 1
    return folders


def _list_class(folder: Path, split: str | None, listing: Listing) -> None:
    """Add the images below the class folder ``folder`` to ``listing``."""
    for entry in sorted(folder.rglob("*")):
        inside = entry.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts):
            listing.ignored["hidden files and folders"] += not entry.is_dir()
        elif entry.name in {"Thumbs.db", "desktop.ini"}:
            listing.ignored[entry.name] += 1
        elif entry.is_dir():
            if entry.is_symlink():
                listing.problems.append(f"{entry}: a link to a folder; such links are not followed")
        else:
            path = str(PurePosixPath(entry.relative_to(listing.root)))
            listing.samples.append(Sample(path, folder.name, split))


@dataclass(frozen=True)
class Source:
    """A kind of source: the keys of section ``data`` that it reads, and how it lists its images."""

    keys: tuple[str, ...]
    list_images: Callable[[Data, Path], Listing]


SOURCES: Mapping[str, Source] = {
    "digits": Source((), lambda _, scratch: list_digits(scratch)),
    "folder": Source(("path",), lambda config, _: list_folder(Path(config.path))),
    "csv": Source(("path", "root"), lambda data, _: list_csv(Path(data.path), Path(data.root))),
}
