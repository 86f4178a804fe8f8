"""A source of labelled images: a folder per class, perhaps divided into splits."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from thaw.data.decoding import EXTENSIONS
from thaw.data.ignored_names import ignored_folder, ignored_part
from thaw.errors import ThawError
from thaw.ingest.folder_layout import layout_of, required_layout
from thaw.ingest.folder_tree import folder_names, top_folders
from thaw.ingest.listing import BadFile, Listing, Sample
from thaw.ingest.sample_table import SampleTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from thaw.config.data_sections import LayoutKind
    from thaw.ingest.folder_layout import Layout
    from thaw.ingest.folder_tree import Folder


def list_folder(
    root: Path, kind: Literal["auto"] | LayoutKind = "auto", *, follow_links: bool = False
) -> Listing:
    """List the images below ``root``; ``kind`` is ``data.layout``.

    With ``follow_links``, links to folders inside of class folders are followed.

    Raises:
        ThawError: ``root`` is not a folder, or a folder cannot be read.
    """
    if not root.is_dir():
        raise ThawError(
            f"data.path: {root} is not a folder: set it to the folder that has one folder per class"
        )
    folders = top_folders(root)
    layout = layout_of(root, folders) if kind == "auto" else required_layout(root, folders, kind)
    samples = SampleTable()
    listing = Listing(
        root,
        samples,
        [],
        problems=layout.problems,
        notes=layout.notes,
        follow_links=follow_links,
        has_clear_layout=not layout.problems,
    )
    _note_other_entries(root, listing, in_class=False)
    labels: set[str] = set()
    for folder, label, split in _class_folders(layout, folders, listing):
        labels.add(label)
        _list_class(folder, label, split, listing, samples)
    listing.classes = sorted(labels)
    return listing


def _class_folders(
    layout: Layout, folders: list[Folder], listing: Listing
) -> Iterator[tuple[Path, str, str | None]]:
    """Yield (folder, label, split) of each folder with images of one class and split."""
    for folder in folders:
        if layout.kind == "class":
            yield folder.path, folder.name, None
            continue
        is_split = layout.kind == "split/class"
        _note_other_entries(folder.path, listing, in_class=not is_split)
        for name in folder_names(folder.path, in_class=not is_split):
            if is_split:
                yield folder.path / name, name, layout.splits.get(folder.name)
            else:
                yield folder.path / name, folder.name, layout.splits.get(name)


def _note_other_entries(parent: Path, listing: Listing, *, in_class: bool) -> None:
    """Note the entries of ``parent`` that are not folders to read in ``listing``."""
    for entry in sorted(parent.iterdir()):
        if entry.is_dir() and not entry.name.startswith("."):
            if ignored_folder(entry.name, in_class=in_class):
                inside = sum(len(files) for _, _, files in os.walk(entry))
                listing.ignored[f"files in folders {entry.name}"] += inside
        elif ignored := ignored_part([entry.name], in_class=in_class):
            listing.ignored[ignored] += 1
        elif entry.suffix.lower() in EXTENSIONS:
            path = str(PurePosixPath(entry.relative_to(listing.root)))
            listing.bad_files.append(BadFile(path, "an image outside of the class folders"))
        else:
            listing.ignored[f"files outside the class folders ({entry.name})"] += 1


def _list_class(
    folder: Path, label: str, split: str | None, listing: Listing, samples: SampleTable
) -> None:
    """Add the images below ``folder``, which has images of one class, to ``samples``."""
    for inner in _paths_below(folder):
        entry = folder / inner
        ignored = ignored_part(PurePosixPath(inner).parts, in_class=True)
        if ignored:
            if not entry.is_dir():
                listing.ignored[ignored] += 1
        elif entry.is_dir():
            if not os.access(entry, os.R_OK | os.X_OK):
                path = str(PurePosixPath(entry.relative_to(listing.root)))
                listing.bad_files.append(BadFile(path, "the folder cannot be read", label))
            elif entry.is_symlink() and not ignored_folder(entry.name, in_class=True):
                _follow_link(entry, label, split, listing, samples)
        else:
            path = str(PurePosixPath(entry.relative_to(listing.root)))
            samples.append(Sample(path, label, split))


def _paths_below(folder: Path) -> list[str]:
    """Return files and folders below ``folder``, relative to it, sorted by their parts.

    Texts take a tenth of the memory of `Path` objects. Links to folders are not followed.
    """
    found: list[str] = []
    for parent, folders, files in os.walk(folder):
        start = "" if parent == str(folder) else os.path.relpath(parent, folder) + os.sep
        found += (start + name for name in (*folders, *files))
    found.sort(key=lambda path: PurePosixPath(path).parts)
    return found


def _follow_link(
    link: Path, label: str, split: str | None, listing: Listing, samples: SampleTable
) -> None:
    """Add the images below a link to a folder, or note why it is not followed."""
    is_loop = link.resolve() in {parent.resolve() for parent in link.parents}
    if listing.follow_links and not is_loop:
        _list_class(link, label, split, listing, samples)
        return
    reason = "a link to a folder; such links are not followed without data.follow_links: true"
    if is_loop:
        reason = "a link to a folder that contains it"
    path = str(PurePosixPath(link.relative_to(listing.root)))
    listing.bad_files.append(BadFile(path, reason, label))
