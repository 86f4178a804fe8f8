"""Refuse images that a link, or the path in a CSV row, finds in an output of the project.

A stage would replace or remove such a file. `thaw.config.overlaps` compares the data folder itself.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.config.overlaps import outputs_of, overlap_with
from thaw.errors import ProblemsError, ThawError
from thaw.ingest.csv_source import list_csv
from thaw.system.dvc_cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thaw.config.data_sections import Data
    from thaw.config.overlaps import Output
    from thaw.config.params import Params


def refuse_linked_outputs(params: Params) -> None:
    """Raise if links or CSV rows of the source lead into outputs, or to folders around them.

    Raises:
        ProblemsError: a line for each, with both paths.
    """
    data = params.data
    root = Path(data.root if data.source == "csv" else data.path)
    if data.source == "digits" or not root.is_dir():
        return
    outputs = outputs_of(params)
    inside = (os.path.realpath(root), str(cache_folder()))

    @cache
    def may_overlap(folder: Path) -> bool:
        return overlap_with(folder, outputs) is not None

    problems = []
    for path in _leaving(data, root, inside, outputs):
        target = Path(os.path.realpath(path))
        # A folder without an output around, at or inside of it has no file that is an output.
        if (may_overlap(target.parent) or target.is_dir()) and (
            overlap := overlap_with(path, outputs)
        ):
            problems.append(overlap)
    if problems:
        raise ProblemsError(
            "the data has files in outputs of the project",
            problems,
            "Move these files to a folder of their own, and correct the links or rows.",
        )


def _leaving(
    data: Data, root: Path, inside: tuple[str, ...], outputs: list[Output]
) -> Iterator[Path]:
    """Yield the paths of the source that lead out of the folders ``inside``."""
    if data.source == "csv":
        candidates = _rows(Path(data.path), root)
    else:
        candidates = _links(root, outputs, follow=data.follow_links)
    for path in candidates:
        try:
            target = Path(os.path.realpath(path))
        except OSError:
            continue  # it was removed meanwhile: `prepare` names files that are missing
        if not any(target.is_relative_to(folder) for folder in inside):
            yield path


def _rows(path: Path, root: Path) -> Iterator[Path]:
    """Yield the files that a CSV file names; nothing if `thaw stage prepare` cannot read it."""
    try:
        samples = list_csv(path, root).samples
    except (ThawError, OSError):
        return
    for sample in samples:
        if "\0" not in sample.path:
            yield root / sample.path


def _links(root: Path, outputs: list[Output], *, follow: bool) -> Iterator[Path]:
    """Yield all links below ``root``.

    Links to folders are searched, too: those in ``root``, which are class folders, and with
    ``follow`` all. Not searched are folders that overlap with ``outputs``.
    """
    pending, seen = [root], set[str]()
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
        except OSError:
            continue  # `prepare` names folders that cannot be read
        for entry in found:
            path = Path(entry.path)
            if not entry.is_symlink():
                if entry.is_dir():
                    pending.append(path)
                continue
            yield path
            try:
                target = os.path.realpath(path)
            except OSError:
                continue
            is_read = (follow or folder == root) and target not in seen and path.is_dir()
            if is_read and overlap_with(path, outputs) is None:
                seen.add(target)
                pending.append(path)
