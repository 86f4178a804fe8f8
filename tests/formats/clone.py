"""Unpack ``clone_project.tar.xz``, a project of thaw 0.1, into any folder."""

from __future__ import annotations

import sqlite3
import subprocess
import tarfile
from pathlib import Path

_ARCHIVE = Path(__file__).with_name("clone_project.tar.xz")
_RECORDED = "/tmp/cp/clone"  # the folder that the stores in the archive name


def unpack_clone(folder: Path) -> Path:
    """Unpack the project into ``folder``, make it a git repository, and return ``folder``."""
    with tarfile.open(_ARCHIVE) as archive:
        archive.extractall(folder)  # the archive is part of the tests
    for database in (folder / "mlruns").glob("*.db"):
        _replace_in_database(database, str(folder))
    for path in (folder / "mlruns").rglob("MLmodel"):
        path.write_text(path.read_text().replace(_RECORDED, str(folder)))
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "clone"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


def _replace_in_database(path: Path, folder: str) -> None:
    with sqlite3.connect(path) as old:
        script = "\n".join(old.iterdump()).replace(_RECORDED, folder)
    old.close()
    path.unlink()
    with sqlite3.connect(path) as new:
        new.executescript(script)
    new.close()
