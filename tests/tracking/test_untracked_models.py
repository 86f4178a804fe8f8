from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.tracking import untracked_models

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty project as the working directory."""
    monkeypatch.chdir(tmp_path)


def test_the_last_record_of_each_stage_is_kept() -> None:
    untracked_models.write("unfreeze", "first")
    untracked_models.write("unfreeze", "second")
    untracked_models.write("fold_bn", "other")
    assert untracked_models.read("unfreeze") == "second"
    assert untracked_models.read("fold_bn") == "other"


def test_removing_the_record_of_a_stage_without_one_is_no_error() -> None:
    assert untracked_models.read("unfreeze") is None
    untracked_models.remove("unfreeze")


def test_a_removed_record_is_gone() -> None:
    untracked_models.write("unfreeze", "first")
    untracked_models.remove("unfreeze")
    assert untracked_models.read("unfreeze") is None
