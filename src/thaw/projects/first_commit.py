"""The first commit of a new project, which experiments of DVC and the gate need."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MESSAGE = "New project"
_SECONDS = 60  # a hook, or a program that signs commits and waits for a passphrase


def commit_new_files(paths: Iterable[Path]) -> None:
    """Commit the files and folders ``paths``, if the git repository here has no commit yet.

    Other files stay as they are: a hidden one may hold a password. Nothing is raised: git may not
    know the name of the user, or a hook of the user may refuse.
    :func:`has_commit` tells.
    """
    if has_commit():
        return
    names = list(map(str, paths))
    if _git("add", "--", *names):
        _git("commit", "--quiet", "--message", _MESSAGE, "--", *names)


def has_commit() -> bool:
    """Return whether the working directory is in a git repository with a commit."""
    return _git("rev-parse", "--verify", "--quiet", "HEAD")


def _git(*arguments: str) -> bool:
    """Return whether git could do it; it has no terminal to ask the user."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
