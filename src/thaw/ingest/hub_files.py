"""The files of a data set of the Hugging Face Hub: downloaded, and opened by ``datasets``."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from thaw.errors import ThawError
from thaw.system.console import say

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "hf:"
LOCAL = "."  # the name of a data set that is in ``data.path`` and never downloaded
_UNFINISHED = ".cache"  # folder of the client in a download that has not ended
_OWN_FILES = {"README.md", ".gitignore"}  # of a new project
_SAVED = ("dataset_dict.json", "state.json")  # which ``save_to_disk`` of ``datasets`` writes


def splits_of(name: str, config: str | None, root: Path) -> dict[str, Any]:
    """Return the rows of each split of the data set in ``root``, read while they are iterated.

    If ``root`` is empty, the data set ``name`` is downloaded into it.

    Raises:
        ThawError: it cannot be downloaded, the package is not installed, or the files are no data
            set.
    """
    partial = root.parent / f".{root.name}.download"
    if not _has_files(root):
        _download(name, root, partial)
    elif partial.is_dir() and not (partial / _UNFINISHED).exists():
        _move(partial, root)  # the process that downloaded was killed while it did this
    return _loaded(name, config, root)


def is_hub_folder(folder: Path) -> bool:
    """Return whether ``folder`` has files as the Hub and ``datasets`` write them.

    These are Parquet files, what ``save_to_disk`` writes, and tables ``metadata`` beside images.
    """
    patterns = ("*.parquet", *(f"metadata.{kind}" for kind in ("csv", "jsonl")))
    found = (folder.glob(f"{place}{pattern}") for place in ("", "*/") for pattern in patterns)
    return any((folder / name).is_file() for name in _SAVED) or any(map(any, found))


def _has_files(root: Path) -> bool:
    return any(path.name not in _OWN_FILES for path in root.glob("*"))


def _download(name: str, root: Path, partial: Path) -> None:
    """Download the repository of the data set into ``partial``, then move it to ``root``.

    Raises:
        ThawError: it cannot be downloaded.
    """
    if name == LOCAL:
        raise ThawError(
            f"data.path: {root} has no files, and {PREFIX}{LOCAL} is not downloaded: put the data "
            "set there"
        )
    from huggingface_hub import snapshot_download

    say(f"{PREFIX}{name} is not in {root}: it is downloaded")
    try:
        snapshot_download(name, repo_type="dataset", local_dir=partial)
        shutil.rmtree(partial / _UNFINISHED, ignore_errors=True)
        root.mkdir(parents=True, exist_ok=True)
        _move(partial, root)
    except Exception as error:  # whatever the client of the hub raises without network
        reason = str(error).partition("\n")[0]
        raise ThawError(
            f"{PREFIX}{name} is not in {root} and cannot be downloaded: {reason}. Where "
            f"there is a network, run `hf download {name} --repo-type dataset --local-dir "
            f"FOLDER`, and copy FOLDER to {root}"
        ) from error


def _move(partial: Path, root: Path) -> None:
    for path in partial.iterdir():
        path.replace(root / path.name)
    partial.rmdir()


def _loaded(name: str, config: str | None, root: Path) -> dict[str, Any]:
    """Return the rows of each split, read while they are iterated.

    Raises:
        ThawError: the package is not installed, or the files are no data set.
    """
    try:
        from datasets import Dataset, load_dataset, load_from_disk
    except ImportError as error:
        raise ThawError(
            f"{root}: a data set in the formats of the Hugging Face Hub needs a package: "
            "pip install 'thaw-vision[hub]'"
        ) from error
    try:
        if not any((root / file).is_file() for file in _SAVED):
            return dict(load_dataset(str(root.resolve()), config, streaming=True))
        saved = load_from_disk(str(root.resolve()))
        return {"train": saved} if isinstance(saved, Dataset) else dict(saved)
    except Exception as error:  # whatever the package raises for files that it cannot read
        reason = str(error).partition("\n")[0]
        remedy = (
            "correct its files, or give a folder per class or a CSV file"
            if name == LOCAL
            else "remove what is in it, and the next `dvc repro` downloads it again"
        )
        raise ThawError(
            f"{root}: is no data set that `datasets` can read: {reason}; {remedy}"
        ) from error
