"""Commands that see a file system of their own in a folder, without rights of root."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

NO_RIGHT = "this machine does not let a test mount a file system"  # the reason of a skipped test


def with_tmpfs(folder: Path, options: str) -> list[str]:
    """Return the start of a command that sees a new tmpfs in ``folder``; skip where it cannot."""
    mount = f'mount -t tmpfs -o {options} none {folder} && exec "$@"'
    start = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    try:
        subprocess.run([*start, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(NO_RIGHT)
    return start
