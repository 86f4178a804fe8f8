"""A source of labelled images: a folder per class, perhaps within a folder per split."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from thaw.data.decoding import EXTENSIONS
from thaw.data.split_names import SPLITS, TRAIN, VAL
from thaw.errors import ThawError
from thaw.ingest.listing import Listing, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Accepted names of split folders.
_SPLIT_OF_FOLDER: dict[str, str] = {
    **{name: name for name in SPLITS},
    "valid": VAL,
    "validation": VAL,
}


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
