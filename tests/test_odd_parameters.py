"""Odd and mutated files of parameters end in a short refusal or run, within seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import tiny
from tests.odd_parameters import SMALL, mutations, odd_values, run_through, try_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project's folder with images, the working directory."""
    tiny.images(tmp_path / "photos", each=6)
    monkeypatch.chdir(tmp_path)
    try_file(tmp_path, SMALL.encode())  # imports what the checks need
    return tmp_path


def faults(folder: Path, files: Iterable[tuple[str, bytes]]) -> list[str]:
    found = []
    for name, content in files:
        found += [f"{name}: {fault}" for fault in try_file(folder, content).faults()]
    return found


@pytest.mark.slow
def test_odd_values_are_refused_or_accepted_without_a_traceback(folder: Path) -> None:
    assert faults(folder, odd_values(seed=0, count=80)) == []


@pytest.mark.slow
def test_mutated_files_are_refused_or_accepted_without_a_traceback(folder: Path) -> None:
    assert faults(folder, mutations(seed=0, count=60)) == []


@pytest.mark.soak
def test_many_odd_values(folder: Path) -> None:
    assert faults(folder, odd_values(seed=1, count=300)) == []


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_mutated_files(folder: Path) -> None:
    assert faults(folder, mutations(seed=1, count=2000)) == []


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_odd_values_through_all_stages(folder: Path) -> None:
    found = []
    for name, content in odd_values(seed=3, count=300):
        outcome = run_through(folder, content, seconds=60)
        found += [f"{name}: {fault}" for fault in outcome.faults()]
    assert found == []
