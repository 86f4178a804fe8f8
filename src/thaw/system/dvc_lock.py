"""The digest of a folder of outputs in ``dvc.lock``, and the digest of the files in the folder.

`dvc status` is not sufficient: it does not read a file whose time and size are unchanged.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thaw.system.locked_stages import read_stages
from thaw.system.project_paths import DVC_LOCK

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from dvc_data.hashfile.tree import Tree


def recorded_md5(folder: Path, lock: Path = DVC_LOCK) -> str:
    """Return the digest of ``folder`` in ``dvc.lock``, "" if it has none.

    It is that of the output ``folder``, or of all outputs inside of it.
    """
    whole = _inside(folder.parent, lock).get((folder.name,))
    if whole:
        return whole
    inside = _inside(folder, lock)
    return _tree_md5(inside) if inside else ""


def recorded_files(folder: Path) -> dict[str, str]:
    """Return the digests of the files in ``folder`` that ``dvc.lock`` lists one by one, by name."""
    return {parts[-1]: md5 for parts, md5 in _inside(folder, DVC_LOCK).items() if len(parts) == 1}


def folder_md5(folder: Path) -> str:
    """Return the digest of the files of ``folder`` as DVC computes it; every file is read.

    If outputs in ``dvc.lock`` are inside of ``folder``, only those count, which may be folders.
    """
    if inside := _inside(folder, DVC_LOCK):
        present = {parts: folder.joinpath(*parts) for parts in inside}
        return _tree_md5({parts: _md5(path) for parts, path in present.items() if path.exists()})
    return _md5(folder)


def _md5(path: Path) -> str:
    """Return the digest of a file, or of a folder with all files in it."""
    return _tree_md5(_files(path)) if path.is_dir() else file_md5(path)


def folder_list(folder: Path) -> bytes:
    """Return the list of the files in ``folder`` with their digests, as DVC's cache has it."""
    return bytes(_tree(_files(folder)).as_bytes())


def _files(folder: Path) -> dict[tuple[str, ...], str]:
    """Return the digest of each file in ``folder``, by the parts of its path there."""
    found = (each for each in folder.rglob("*") if each.is_file())
    return {each.relative_to(folder).parts: file_md5(each) for each in found}


def file_md5(path: Path) -> str:
    """Return the digest of a file as DVC computes it."""
    from dvc_data.hashfile.hash import file_md5 as md5_of
    from dvc_objects.fs.local import LocalFileSystem

    return str(md5_of(str(path), LocalFileSystem()))  # type: ignore[no-untyped-call]


def recorded_outputs(
    lock: Path = DVC_LOCK, stages: Collection[str] | None = None
) -> dict[Path, str]:
    """Return the digest of each output in the file ``lock``, by its path there.

    ``stages`` are those whose outputs are wanted, all by default.
    """
    locked = read_stages(lock).items()
    chosen = [stage for name, stage in locked if stages is None or name in stages]
    outs = [out for stage in chosen for out in stage.get("outs", [])]
    return {Path(out["path"]): str(out.get("md5", "")) for out in outs}


def _inside(folder: Path, lock: Path) -> dict[tuple[str, ...], str]:
    """Return the digests of the outputs inside of ``folder``, by the parts of the path there."""
    root = folder.resolve()
    found = {}
    for output, md5 in recorded_outputs(lock).items():
        path = lock.parent / output
        parent = path.parent.resolve()  # the file itself may be a link into DVC's cache
        if parent.is_relative_to(root):
            found[(*parent.relative_to(root).parts, path.name)] = md5
    return found


def _tree_md5(files: Mapping[tuple[str, ...], str]) -> str:
    """Return the digest of a folder with ``files``, each by the parts of its path."""
    return str(_tree(files).hash_info.value)


def _tree(files: Mapping[tuple[str, ...], str]) -> Tree:
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta
    from dvc_data.hashfile.tree import Tree

    tree = Tree()  # type: ignore[no-untyped-call]
    for parts, md5 in files.items():
        tree.add(parts, Meta(), HashInfo("md5", md5))
    tree.digest()
    return tree
