"""A source of labelled images: a CSV file with paths, labels and perhaps splits."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from thaw.data.split_names import SPLITS
from thaw.errors import ThawError
from thaw.ingest.listing import Listing, Sample

if TYPE_CHECKING:
    from pathlib import Path


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
