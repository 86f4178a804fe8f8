"""The digest of a folder of outputs in ``dvc.lock``, and the digest of the files in the folder.

`dvc status` is not sufficient: it does not read a file whose time and size are unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.system.locked_stages import LOCK, read_stages

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def recorded_md5(folder: Path, lock: Path = LOCK) -> str:
    """Return the digest of ``folder`` in ``dvc.lock``, "" if it has none.

    It is that of the output ``folder``, or of all outputs inside of it.
    """
    outs = _recorded(lock)
    if folder.resolve() in outs:
        return outs[folder.resolve()]
    inside = _inside(folder, outs)
    return _tree_md5(inside) if inside else ""


def folder_md5(folder: Path, lock: Path = LOCK) -> str:
    """Return the digest of the files of ``folder`` as DVC computes it; every file is read.

    If outputs in ``dvc.lock`` are inside of ``folder``, only those files count.
    """
    from dvc_data.hashfile.hash import file_md5
    from dvc_objects.fs.local import LocalFileSystem

    files = LocalFileSystem()  # type: ignore[no-untyped-call]
    inside = _inside(folder, _recorded(lock))
    found = (path for path in folder.rglob("*") if path.is_file())
    parts = ((path, path.relative_to(folder).parts) for path in found)
    return _tree_md5(
        {
            part: str(file_md5(str(path), files))
            for path, part in parts
            if not inside or part in inside
        }
    )


def _recorded(lock: Path) -> dict[Path, str]:
    """Return the digest of each output in the file ``lock``, by absolute path."""
    stages = read_stages(lock)
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    return {(lock.parent / out["path"]).resolve(): str(out.get("md5", "")) for out in outs}


def _inside(folder: Path, outs: Mapping[Path, str]) -> dict[tuple[str, ...], str]:
    """Return those of ``outs`` that are inside of ``folder``, by the parts of the path there."""
    root = folder.resolve()
    return {path.relative_to(root).parts: md5 for path, md5 in outs.items() if root in path.parents}


def _tree_md5(files: Mapping[tuple[str, ...], str]) -> str:
    """Return the digest of a folder with ``files``, each by the parts of its path."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta
    from dvc_data.hashfile.tree import Tree

    tree = Tree()  # type: ignore[no-untyped-call]
    for parts, md5 in files.items():
        tree.add(parts, Meta(), HashInfo("md5", md5))
    tree.digest()
    return str(tree.hash_info.value)
