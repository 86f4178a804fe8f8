from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tools.debian_packages import MissingPackageError, install

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of programs, and the user is root."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def apt_get(folder: Path, script: str) -> None:
    path = folder / "apt-get"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_lists_are_read_before_the_package_is_installed(programs: Path) -> None:
    apt_get(programs, f'echo "$DEBIAN_FRONTEND $@" >> {programs}/calls')
    install("chromium")
    assert (programs / "calls").read_text().splitlines() == [
        "noninteractive update --quiet",
        "noninteractive install --yes --quiet chromium",
    ]


def test_a_failed_installation_quotes_apt_get(programs: Path) -> None:
    apt_get(programs, "echo 'E: Unable to locate package' >&2; exit 100")
    with pytest.raises(MissingPackageError, match="chromium: E: Unable to locate package"):
        install("chromium")


def test_a_machine_without_apt_get_is_named(programs: Path) -> None:
    assert list(programs.iterdir()) == []
    with pytest.raises(MissingPackageError, match="there is no apt-get: install it"):
        install("chromium")


def test_another_user_than_root_is_told_the_command(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt_get(programs, "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingPackageError, match="run `sudo apt-get install chromium` first"):
        install("chromium")
