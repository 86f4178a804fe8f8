"""``thaw repair``: find damaged outputs here and in DVC's cache, and restore them where possible.

DVC compares times and sizes, not contents: it restores a damaged file of its cache, and keeps it
there when a stage runs again. So a damaged file is taken out of the cache first.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dvc.exceptions import DvcException
from dvc.repo import Repo

from thaw.data.packed_store import IMAGES
from thaw.errors import ThawError
from thaw.system import dvc_lock
from thaw.system.files import write_whole
from thaw.system.locked_stages import is_cut
from thaw.system.locks import only_process
from thaw.system.project_paths import DVC_LOCK, MODELS, PREPARED, SCRATCH
from thaw.system.stage_names import STAGES
from thaw.system.storage_errors import reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvc_data.hashfile.db import HashFileDB

DAMAGED = SCRATCH / "damaged"  # damaged files are moved there, none is deleted
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_READ_ONLY = 0o444  # as DVC protects its cache


@dataclass
class Repair:
    """The outputs that were compared with ``dvc.lock``.

    Attributes:
        intact: Outputs that are as ``dvc.lock`` says, here and in the cache.
        restored: Outputs that were damaged or missing here, and were taken from the cache.
        cached: Outputs whose copy in the cache was damaged and is replaced by the one here.
        lost: Outputs that are damaged or missing here and in the cache; `dvc repro` makes them.
        moved: The places below ``DAMAGED`` of files that were damaged. A ``dvc.lock`` that DVC has
            not written to its end is one of them; `dvc repro` writes it again, with what DVC's
            cache knows of finished stages.
    """

    intact: list[Path] = field(default_factory=list)
    restored: list[Path] = field(default_factory=list)
    cached: list[Path] = field(default_factory=list)
    lost: list[Path] = field(default_factory=list)
    moved: list[Path] = field(default_factory=list)


def repair() -> Repair:
    """Compare prepared data and models with ``dvc.lock``; restore what can be restored.

    Raises:
        ThawError: a stage runs, a file cannot be moved, DVC fails, or ``dvc.lock`` lists folders as
            outputs, or what is no output.
    """
    found = Repair()
    if is_cut():
        with _no_stage_runs():
            found.moved.append(_moved(DVC_LOCK))
    outputs = dvc_lock.recorded_outputs(stages=STAGES)  # those of the user may not be in the cache
    chosen = [path for path in outputs if {PREPARED, MODELS} & {path, *path.parents}]
    for path in chosen:
        _require_output(path, outputs[path])
    try:
        with _no_stage_runs(), Repo() as repo:
            cache = repo.cache.local
            for path in chosen:
                for file, md5 in _files(path, outputs[path], cache, found):
                    _repair_file(file, Path(cache.oid_to_path(md5)), md5, found)
            if found.restored:
                repo.checkout([str(path) for path in found.restored], force=True)
    except OSError as error:
        raise ThawError(
            f"{error.filename}: cannot be repaired: {reason(error)}; remove the cause, then run "
            "`thaw repair` again"
        ) from None
    except DvcException as error:
        raise ThawError(f"DVC cannot repair this project: {error}; run `thaw doctor`") from None
    return found


def _require_output(path: Path, md5: str) -> None:
    """Raise unless ``path`` is inside of the project, and ``md5`` names a file of the cache.

    Others write ``dvc.lock``, too; a path with ``..`` would move any file of the user.

    Raises:
        ThawError: one of them is something else.
    """
    if ".." in path.parts or not _MD5.fullmatch(md5):
        raise ThawError(
            f"dvc.lock: {str(path)!r} with the digest {md5!r} is no output that DVC recorded: "
            "restore the file (`git checkout dvc.lock`), or delete it and `dvc repro`"
        )


@contextlib.contextmanager
def _no_stage_runs() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for stage in STAGES:
            lock = SCRATCH / f"{stage}.lock"
            stack.enter_context(only_process(lock, f"the stage {stage}"))
        yield


def _files(path: Path, md5: str, cache: HashFileDB, found: Repair) -> list[tuple[Path, str]]:
    """Return the files of the output ``path``, each with its digest.

    Packed images may be a folder. DVC's cache has a list of its files, which is repaired here.

    Raises:
        ThawError: the output is another folder.
    """
    if not md5.endswith(".dir"):
        return [(path, md5)]
    if path != PREPARED / IMAGES:
        raise ThawError(f"dvc.lock lists the folder {path}: run `thaw upgrade` first")
    listed = Path(cache.oid_to_path(md5))
    if not listed.is_file() or f"{dvc_lock.file_md5(listed)}.dir" != md5:
        if listed.is_file():
            found.moved.append(_moved(listed))
        content = dvc_lock.folder_list(path)
        if f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}.dir" != md5:
            found.lost.append(path)
            return []
        listed.parent.mkdir(parents=True, exist_ok=True)
        write_whole(listed, content)
        listed.chmod(_READ_ONLY)
        found.cached.append(path)
    entries = json.loads(listed.read_bytes())
    files = [(path / entry["relpath"], entry["md5"]) for entry in entries]
    for file, digest in files:
        _require_output(file, digest)
    return files


def _repair_file(path: Path, copy: Path, md5: str, found: Repair) -> None:
    """Repair the file ``path``, whose ``copy`` in DVC's cache has the same digest ``md5``."""
    is_good = path.is_file() and dvc_lock.file_md5(path) == md5
    is_linked = path.is_file() and copy.is_file() and path.samefile(copy)
    is_good_copy = copy.is_file() and (is_good if is_linked else dvc_lock.file_md5(copy) == md5)
    for damaged in [path] * (not is_good) + [copy] * (not is_good_copy):
        if damaged.is_symlink():
            damaged.unlink()
        elif damaged.is_file():
            found.moved.append(_moved(damaged))
    if is_good and is_good_copy:
        found.intact.append(path)
    elif is_good:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
        copy.chmod(_READ_ONLY)
        found.cached.append(path)
    else:
        (found.restored if is_good_copy else found.lost).append(path)


def _moved(path: Path) -> Path:
    """Move a damaged file to a new place below ``DAMAGED``, and return it."""
    place = DAMAGED / path.absolute().relative_to(path.absolute().anchor)
    numbered = (place.with_name(f"{place.name}-{number}") for number in itertools.count(2))
    target = next(each for each in itertools.chain([place], numbered) if not each.exists())
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)
    return target
