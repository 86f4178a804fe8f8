"""Install a package of Debian where a program that tests use is missing."""

from __future__ import annotations

import os
import shutil
import subprocess


class MissingPackageError(RuntimeError):
    """A program is not installed and cannot be installed here; the message says why."""


def install(package: str) -> None:
    """Install a package with apt-get.

    Raises:
        MissingPackageError: there is no apt-get, this user is not root, or apt-get fails.
    """
    if shutil.which("apt-get") is None:
        raise MissingPackageError(f"{package} is not installed and there is no apt-get: install it")
    if os.geteuid() != 0:
        raise MissingPackageError(
            f"{package} is not installed: run `sudo apt-get install {package}` first"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "--quiet"], ["install", "--yes", "--quiet", package]):
        done = subprocess.run(
            ["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise MissingPackageError(f"apt-get cannot install {package}: {done.stderr.strip()[-300:]}")
