from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.tracking import untracked_results

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty project as the working directory."""
    monkeypatch.chdir(tmp_path)


def test_the_last_note_of_each_stage_is_kept() -> None:
    untracked_results.note("unfreeze", "first")
    untracked_results.note("unfreeze", "second")
    untracked_results.note("fold_bn", "other")
    assert untracked_results.noted("unfreeze") == "second"
    assert untracked_results.noted("fold_bn") == "other"


def test_a_stage_without_a_note_has_none_to_forget() -> None:
    assert untracked_results.noted("unfreeze") is None
    untracked_results.forget("unfreeze")


def test_a_forgotten_note_is_gone() -> None:
    untracked_results.note("unfreeze", "first")
    untracked_results.forget("unfreeze")
    assert untracked_results.noted("unfreeze") is None
