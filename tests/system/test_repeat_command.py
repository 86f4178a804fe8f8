from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.project import ROOT
from thaw.system.project_paths import REGISTERED, REPORTS
from thaw.system.repeat_command import registering, repeat_command

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_FORCED = re.compile(r"dvc repro (?:-f|--force)\b")


def test_a_result_that_a_store_does_not_have_is_registered_without_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert registering() == (
        "`dvc repro` registers a model when its last stage ends; if a training runs, here or on "
        "another machine, wait for it"
    )
    (REPORTS / "evaluate").mkdir(parents=True)
    (REPORTS / "evaluate" / REGISTERED).touch()  # of whatever store
    assert repeat_command("evaluate") in registering()


def test_no_message_and_no_page_advises_a_command_that_trains_everything_again() -> None:
    # Without --single-item, --force is also for all stages before the one that is named.
    texts = [
        path
        for folder in ("src", "docs", "README.md", "examples")
        for path in [ROOT / folder, *(ROOT / folder).rglob("*")]
        if path.suffix in {".py", ".md", ".jinja", ".yaml", ".html"}
    ]
    assert len(texts) > 300
    found = [path for path in texts if _FORCED.search(path.read_text(encoding="utf-8"))]
    assert [path.name for path in found] == ["repeat_command.py"]  # which says why not
