"""Origin of a result: the git commit and the locked pipeline."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thaw.system.locked_stages import read_stages
from thaw.system.project_paths import DVC_LOCK, PARAMS_FILE, PIPELINE, TOOL_LOCK
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILES = (str(PARAMS_FILE), str(PIPELINE), str(TOOL_LOCK))
_SOURCES = ("src", *_FILES)


def key(*parts: object) -> str:
    """SHA-256 over ``parts`` (JSON): equal parts, equal key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def git_state() -> tuple[str, bool] | None:
    """Return (commit, whether code or parameters differ from it); None outside a git checkout.

    ``dvc.lock`` and the reports do not count: a run itself changes them. The content of the files
    is compared, because git does not show those that it ignores or is told not to compare.
    """
    commit = _git("rev-parse", "HEAD")
    shown = ("--untracked-files=normal", "--ignore-submodules=none")
    changes = _git("status", "--porcelain", *shown, "--", *_SOURCES)
    if commit is None or changes is None:
        return None
    return commit, bool(changes) or not _are_committed()


def _are_committed() -> bool:
    """Return whether parameters and pipeline are those of the commit, also where they are links."""
    try:
        targets = [Path(name).resolve(strict=True) for name in _FILES if Path(name).exists()]
    except (OSError, RuntimeError):  # a link to itself
        return False
    paths = [os.path.relpath(target, Path.cwd().resolve()) for target in targets]
    here = _git("hash-object", "--", *paths)
    return not paths or here == _git("rev-parse", *(f"HEAD:./{path}" for path in paths))


def has_uncommitted(paths: Iterable[Path]) -> bool:
    """Return whether git would commit a change of ``paths``; files that it ignores do not count."""
    return bool(_git("status", "--porcelain", "--", *map(str, paths)))


def committed_text(path: Path) -> str | None:
    """Return the content of ``path`` in the last commit; None if it has no such text file."""
    try:
        return _git("show", f"HEAD:./{path}")
    except UnicodeDecodeError:
        return None


def lock_digest(path: Path = DVC_LOCK) -> str | None:
    """SHA-256 over thaw's locked stages before evaluate, which DVC locks after it has run.

    Stages of the user do not count: DVC locks those that follow evaluate even later.
    """
    return _lock_digest(path, STAGES)


def earlier_lock_digest(path: Path = DVC_LOCK) -> str | None:
    """Return the digest in the form of earlier versions, where stages of the user counted."""
    return _lock_digest(path, read_stages(path))


def _lock_digest(path: Path, names: Iterable[str]) -> str | None:
    if not path.exists():
        return None
    stages = read_stages(path)
    return key({name: stages[name] for name in names if name in stages and name != "evaluate"})


class NoCommit(NamedTuple):
    """The reason why :func:`git_state` is None, and what helps, if it is not the first commit."""

    reason: str
    remedy: str = ""


def why_no_commit() -> str:
    """Return the text of :func:`no_commit`; empty where there is a commit."""
    found = no_commit()
    return ": ".join(filter(None, found)) if found else ""


def no_commit() -> NoCommit | None:
    """Return why :func:`git_state` is None here; None where it is not.

    git refuses a checkout that belongs to another user, as in a container or on a shared disk.
    """
    done = _run("rev-parse", "HEAD")
    if done is None:
        return NoCommit("git is not installed, or does not answer", "`git --version` must work")
    if done.returncode == 0:
        return None
    if "safe.directory" in done.stderr:
        return NoCommit(
            f"git refuses {Path.cwd()}, which belongs to another user",
            "`git config --global --add safe.directory DIR` with the folder of the checkout "
            "accepts it",
        )
    if "not a git repository" in done.stderr:
        return NoCommit("this is no git checkout")
    if _git("rev-parse", "--git-dir") is not None:
        return NoCommit("this checkout has no commit yet")
    return NoCommit("git cannot read this checkout", "`git status` says why")


def _git(*arguments: str) -> str | None:
    done = _run(*arguments)
    return done.stdout.strip() if done is not None and done.returncode == 0 else None


def _run(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Return what git did, with its messages in English; None if it could not be run."""
    try:
        return subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
