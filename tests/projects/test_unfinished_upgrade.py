from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.projects import unfinished_upgrade
from thaw.projects.unfinished_upgrade import UnfinishedUpgrade

if TYPE_CHECKING:
    from pathlib import Path

CODE = {"prepare": "1" * 64}
BEGUN = UnfinishedUpgrade(CODE, ["prepare", "unfreeze"], ["prepare"], ["a/b.csv"], keep=True)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_upgrade_is_unfinished_from_its_note_to_its_end() -> None:
    assert unfinished_upgrade.read(CODE) is None
    BEGUN.begin()
    assert unfinished_upgrade.read(CODE) == BEGUN
    unfinished_upgrade.end()
    assert unfinished_upgrade.read(CODE) is None
    unfinished_upgrade.end()


def test_a_note_of_an_upgrade_to_other_code_does_not_count() -> None:
    BEGUN.begin()
    assert unfinished_upgrade.read({"prepare": "2" * 64}) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"code": 1}', "\0"])
def test_a_damaged_note_does_not_count(tmp_path: Path, text: str) -> None:
    BEGUN.begin()
    (tmp_path / ".thaw/upgrade.json").write_text(text)
    assert unfinished_upgrade.read(CODE) is None
