"""Where labelled images come from: a folder, a CSV file, scikit-learn's digits."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from thaw.data.decoding import EXTENSIONS
from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thaw.config.data_sections import Data

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Sample:
    """A labelled file; ``path`` is relative to the listing's root, with forward slashes."""

    path: str
    label: str
    split: str | None = None


@dataclass
class Listing:
    """The samples under ``root``, the classes (also empty ones), and what was passed over."""

    root: Path
    samples: list[Sample]
    classes: list[str]
    problems: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def listing(config: Data, scratch: Path) -> Listing:
    """List what ``config`` names; the digits are first written below ``scratch`` as PNG files."""
    if config.source == "digits":
        write_digits(scratch)
        return list_folder(scratch)
    if config.source == "csv":
        return list_csv(Path(config.path), Path(config.root))
    return list_folder(Path(config.path))


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
    """A folder a class; or ``train/``, ``val/``, ``test/`` with a folder a class in each."""
    if not root.is_dir():
        raise ThawError(f"data.path: {root} is not a folder")
    found = Listing(root, [], [])
    tops = _folders(root, found)
    names = {folder.name for folder in tops}
    if "train" in names and names <= {*SPLITS, "valid", "validation"}:
        _list_splits(tops, found)
    else:
        if "train" in names:
            strange = ", ".join(sorted(names - {*SPLITS, "valid", "validation"}))
            found.problems.append(
                f"{root}: beside train/ there is {strange}: a folder a class, or train/, val/ and "
                "test/ with a folder a class in each"
            )
        found.classes = [folder.name for folder in tops]
        for folder in tops:
            _list_class(folder, None, found)
    return found


def list_csv(path: Path, root: Path) -> Listing:
    """The rows of a CSV file with the columns ``path,label[,split]``; paths start at ``root``."""
    if not path.is_file():
        raise ThawError(f"data.path: {path} is not a file")
    if not root.is_dir():
        raise ThawError(f"data.root: {root} is not a folder")
    try:
        return _rows(path, root)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ThawError(f"{path} is not CSV in UTF-8: {error}") from None


def _rows(path: Path, root: Path) -> Listing:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = {"path", "label"} - set(reader.fieldnames or [])
        if missing:
            raise ThawError(
                f"{path}: no column {' and no column '.join(sorted(missing))}; "
                f"it has {', '.join(reader.fieldnames or ['nothing'])}"
            )
        has_split = "split" in (reader.fieldnames or [])
        found = Listing(root, [], [])
        seen: set[str] = set()
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            sample = Sample(row["path"] or "", row["label"] or "", row.get("split") or None)
            if not sample.path or not sample.label:
                found.problems.append(f"{where}: the path or the label is empty")
            elif has_split and sample.split not in SPLITS:
                found.problems.append(
                    f"{where}: split is {sample.split!r}, but must be {', '.join(SPLITS)}"
                )
            elif sample.path in seen:
                found.problems.append(f"{where}: {sample.path} is listed twice")
            else:
                seen.add(sample.path)
                found.samples.append(sample)
    found.classes = sorted({sample.label for sample in found.samples})
    return found


def _list_splits(tops: Iterable[Path], found: Listing) -> None:
    classes: set[str] = set()
    for top in tops:
        split = "val" if top.name.startswith("val") else top.name
        for folder in _folders(top, found):
            classes.add(folder.name)
            _list_class(folder, split, found)
    found.classes = sorted(classes)


def _folders(parent: Path, found: Listing) -> list[Path]:
    folders = []
    for entry in sorted(parent.iterdir()):
        if entry.name.startswith("."):
            found.ignored["hidden files and folders"] += 1
        elif entry.is_dir():
            folders.append(entry)
        elif entry.suffix.lower() in EXTENSIONS:
            found.problems.append(f"{entry}: an image outside any class folder")
        else:
            found.ignored[f"files outside the class folders ({entry.name})"] += 1
    return folders


def _list_class(folder: Path, split: str | None, found: Listing) -> None:
    for entry in sorted(folder.rglob("*")):
        inside = entry.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts):
            found.ignored["hidden files and folders"] += not entry.is_dir()
        elif entry.name in {"Thumbs.db", "desktop.ini"}:
            found.ignored[entry.name] += 1
        elif entry.is_dir():
            if entry.is_symlink():
                found.problems.append(f"{entry}: a linked folder; it is not followed")
        else:
            path = str(PurePosixPath(entry.relative_to(found.root)))
            found.samples.append(Sample(path, folder.name, split))
