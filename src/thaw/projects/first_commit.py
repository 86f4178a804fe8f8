"""The first commit of a new project, which experiments of DVC and the gate need."""

from __future__ import annotations

import subprocess

_MESSAGE = "New project"
_SECONDS = 60  # a hook, or a program that signs commits and waits for a passphrase


def commit_new_files() -> None:
    """Commit all files of the working directory, if its git repository has no commit yet.

    Nothing is raised: git may not know the name of the user, or a hook of the user may refuse.
    :func:`has_commit` tells.
    """
    if has_commit():
        return
    if _git("add", "--all"):
        _git("commit", "--quiet", "--message", _MESSAGE)


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
