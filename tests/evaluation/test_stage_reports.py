from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.errors import ThawError
from thaw.evaluation.stage_reports import read

if TYPE_CHECKING:
    from pathlib import Path


def test_a_report_is_read(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"epochs": 3}')
    assert read(tmp_path / "report.json") == {"epochs": 3}


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"[]", b"null", b"\xff{}", b"[" * 100_000])
def test_a_damaged_report_is_named_with_the_command(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "unfreeze" / "report.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(
        ThawError, match=r"json is damaged \(.*\): run `dvc repro --single-item --force unfreeze`"
    ):
        read(path)
