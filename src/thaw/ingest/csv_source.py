"""A source of labelled images: a CSV file with paths, labels and perhaps splits."""

from __future__ import annotations

import csv
import os.path
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from thaw.data.split_names import SPLITS
from thaw.errors import ThawError
from thaw.ingest.checks import repeated_hashes
from thaw.ingest.class_columns import class_columns_remedy
from thaw.ingest.listing import Listing, Sample
from thaw.ingest.sample_table import SampleTable
from thaw.ingest.split_spelling import is_split, resolve_splits, spelling_of
from thaw.ingest.unread_splits import COLUMNS, UnreadSplits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_EXPECTED_SPLITS = f"one of {', '.join(SPLITS)}"


def list_csv(path: Path, root: Path) -> Listing:
    """List the rows of a CSV file with the columns ``path,label[,split]``.

    Paths are relative to ``root``. Other columns are ignored.

    Raises:
        ThawError: the file or ``root`` is missing, or the file is not CSV in UTF-8.
    """
    if not path.is_file():
        raise ThawError(
            f"data.path: {path} is not a file: set it to the CSV file, or data.source to folder"
        )
    if not root.is_dir():
        raise ThawError(
            f"data.root: {root} is not a folder: set it to the folder at which the paths in "
            f"{path} start"
        )
    with path.open("rb") as stream:
        if stream.read(4) == b"PK\x03\x04":
            raise ThawError(
                f"{path} is an archive, perhaps a spreadsheet: save it as CSV in UTF-8 with commas"
            )
    try:
        return _list_rows(path, root)
    except csv.Error as error:  # the text is UTF-8
        raise ThawError(
            f"{path} is not valid CSV: {error}; perhaps a quote is not closed: correct the row"
        ) from None
    except UnicodeDecodeError as error:
        raise ThawError(
            f"{path} is not CSV in UTF-8: {error}; save it as CSV in UTF-8 with commas"
        ) from None


def _list_rows(path: Path, root: Path) -> Listing:
    samples = SampleTable()
    listing = Listing(root, samples, [])
    repeated = _repeated_files(path, root)
    # Line and label of each of these files.
    first_lines: dict[str, tuple[int, str]] = {}
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader, columns = _reader(path, stream)
        unread = UnreadSplits(columns)
        for row in reader:
            file = _file(root, row)
            problem = _row_problem(row, columns)
            if problem is None and file in first_lines:
                line, label = first_lines[file]
                other = "" if label == row["label"] else f", there with the label {label!r}"
                problem = f"{row['path']} is listed twice (line {line}{other})"
            if problem:
                listing.problems.append(f"{path}, line {reader.line_num}: {problem}")
                continue
            if hash(file) in repeated:
                first_lines[file] = (reader.line_num, row["label"])
            unread.add(row)
            samples.append(Sample(row["path"], row["label"], row.get("split") or None))
    listing.problems += [f"{path}: {text}" for text in unread.problems()]
    if not samples and not listing.problems:
        listing.problems.append(f"{path}: write a row for each image below the first line")
    if "split" in columns:
        _resolve_splits(path, listing)
    listing.classes = sorted({sample.label for sample in listing.samples})
    return listing


def _repeated_files(path: Path, root: Path) -> set[int]:
    """Return the hashes of the files that several rows name, with 8 bytes of memory for a row."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader, _ = _reader(path, stream)
        return repeated_hashes(_file(root, row) for row in reader)


def _reader(path: Path, stream: TextIO) -> tuple[csv.DictReader[str], Sequence[str]]:
    """Return the reader of the rows, and the names of the columns."""
    # Strict: a quote that is not closed would make the rest of the file one label.
    reader = csv.DictReader(stream, strict=True)
    reader.fieldnames = columns = _columns(path, reader.fieldnames or [], reader)
    return reader, columns


def _file(root: Path, row: Mapping[Any, Any]) -> str:
    """Return the absolute path of the file of a row, the same one however it is spelled."""
    # Path.resolve would follow links, and pathlib takes longer
    return os.path.abspath(os.path.join(root, row["path"] or ""))  # noqa: PTH100, PTH118


def _columns(path: Path, header: Sequence[str], rows: Iterable[Mapping[Any, Any]]) -> Sequence[str]:
    """Return the names of the columns; case and white space do not count in those that are read.

    ``rows`` are read only where the column of labels is missing.

    Raises:
        ThawError: a column is missing, or occurs twice.
    """
    plain = [name.strip().casefold() for name in header]
    header = [
        known if known in COLUMNS else name for name, known in zip(header, plain, strict=True)
    ]
    missing = {"path", "label"} - set(header)
    if missing:
        by_class = class_columns_remedy(rows) if "label" in missing else None
        raise ThawError(
            f"{path}: no column {' and no column '.join(sorted(missing))}; "
            f"it has {', '.join(header or ['nothing'])}: "
            f"{by_class or _header_remedy(header)}"
        )
    if repeated := [name for name in COLUMNS if header.count(name) > 1]:
        raise ThawError(
            f"{path}: the column {repeated[0]} occurs twice: rename or remove one of them"
        )
    return header


def _header_remedy(header: Sequence[str]) -> str:
    """Return what to do about a header without the columns that are read."""
    found = [sign for sign in ";\t|" if len(header) == 1 and sign in header[0]]
    if found:
        return f"{found[0]!r} separates its fields: separate them by commas"
    return "call its columns path,label[,split] in the first line"


def _row_problem(row: Mapping[str | None, Any], columns: Sequence[str]) -> str | None:
    """Return what is wrong with a row; None if it can be used."""
    if more := row.get(None):
        return (
            f"it has {len(columns) + len(more)} fields, but the header has {len(columns)}: write "
            'a value that contains a comma in quotes ("red, fox")'
        )
    if not any(row.values()):
        return "it has only commas, as spreadsheets write empty rows: delete it"
    if not row["path"] or not row["label"]:
        return "the path or the label is empty"
    if "split" in columns and not is_split(row["split"]):
        return f"split is {row['split']!r}, but must be {_EXPECTED_SPLITS}"
    return None


def _resolve_splits(path: Path, listing: Listing) -> None:
    """Replace the splits in ``listing``, as the file spells them, by their names."""
    kinds = {text: found.kind for text, found in _spellings(listing)}
    try:
        splits = resolve_splits(kinds.values())
    except ValueError as error:
        texts = ", ".join(kinds)
        listing.problems.append(
            f"{path}: the splits {texts} name {error}: write {_EXPECTED_SPLITS}"
        )
        return
    names = {text: splits[kind] for text, kind in kinds.items()}
    listing.samples = SampleTable(
        replace(sample, split=names[sample.split or ""]) for sample in listing.samples
    )
    if others := [f"{text} is {name}" for text, name in names.items() if text != name]:
        listing.notes.append(f"splits: {', '.join(others)}")


def _spellings(listing: Listing) -> Iterator[tuple[str, Any]]:
    """Yield (text, spelling) of each split in ``listing``."""
    for text in dict.fromkeys(sample.split or "" for sample in listing.samples):
        yield text, spelling_of(text)
