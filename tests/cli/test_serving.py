from __future__ import annotations

from typing import TYPE_CHECKING

from tests import tiny
from tests.cli.verbs import error

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_model_directory_can_be_used_outside_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuned: None
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.images(tmp_path / "photos", each=1)
    message = error("predict", "no_model", "photos")
    assert "no_model" in message
    assert "thaw init" not in message
