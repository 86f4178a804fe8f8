"""What ``dvc.lock`` says lies in a folder, and what does lie there.

`dvc status` would not do: where a file's time and size are as they were, it does not read it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ruamel.yaml import YAML


def recorded(folder: Path, lock: Path = Path("dvc.lock")) -> str:
    """The digest that ``dvc.lock`` has for the stage output ``folder``; "" where it has none."""
    if not lock.exists():
        return ""
    stages = YAML(typ="safe").load(lock.read_text(encoding="utf-8")).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    found = (out for out in outs if (lock.parent / out["path"]).resolve() == folder.resolve())
    return next((str(out.get("md5", "")) for out in found), "")


def lying(folder: Path) -> str:
    """MD5 over all files of ``folder``, put together as DVC does it (``dvc_data``'s ``Tree``)."""
    listed = [
        {"md5": _md5(path), "relpath": path.relative_to(folder).as_posix()}
        for path in folder.rglob("*")
        if path.is_file()
    ]
    listed.sort(key=lambda entry: entry["relpath"])
    text = json.dumps(listed, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
