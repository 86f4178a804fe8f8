"""Origin of a result: the git commit and the locked pipeline."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

from thaw.system.locked_stages import read_stages

_SOURCES = ("src", "params.yaml", "dvc.yaml", "thaw.lock")


def key(*parts: object) -> str:
    """SHA-256 over ``parts`` (JSON): equal parts, equal key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def git_state() -> tuple[str, bool] | None:
    """Return (commit, whether code or parameters differ from it); None outside a git checkout.

    ``dvc.lock`` and the reports do not count: a run itself changes them.
    """
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return commit, bool(_git("status", "--porcelain", "--", *_SOURCES))


def lock_digest(path: Path = Path("dvc.lock"), last_stage: str = "evaluate") -> str | None:
    """SHA-256 over the locked stages before ``last_stage``, which DVC locks after it has run."""
    if not path.exists():
        return None
    stages = read_stages(path)
    return key({name: locked for name, locked in stages.items() if name != last_stage})


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
