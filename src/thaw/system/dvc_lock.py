"""The digest of a folder in ``dvc.lock``, and the digest of the files in the folder.

`dvc status` is not sufficient: it does not read a file whose time and size are unchanged.
"""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML


def recorded_md5(folder: Path, lock: Path = Path("dvc.lock")) -> str:
    """Return the digest of the stage output ``folder`` in ``dvc.lock``, "" if it has none."""
    if not lock.exists():
        return ""
    stages = YAML(typ="safe").load(lock.read_text(encoding="utf-8")).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    found = (out for out in outs if (lock.parent / out["path"]).resolve() == folder.resolve())
    return next((str(out.get("md5", "")) for out in found), "")


def folder_md5(folder: Path) -> str:
    """Return the digest of all files of ``folder`` as DVC computes it; every file is read."""
    from dvc_data.hashfile.hash import file_md5
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.fs.local import LocalFileSystem

    files = LocalFileSystem()  # type: ignore[no-untyped-call]
    tree = Tree()  # type: ignore[no-untyped-call]
    for path in folder.rglob("*"):
        if path.is_file():
            digest = HashInfo("md5", file_md5(str(path), files))
            tree.add(path.relative_to(folder).parts, Meta(), digest)
    tree.digest()
    return str(tree.hash_info.value)
