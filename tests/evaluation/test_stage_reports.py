from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.errors import ThawError
from thaw.evaluation.stage_reports import kept_epoch, read, read_if_present
from thaw.training.history import EpochRow

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


def test_a_missing_report_is_empty(tmp_path: Path) -> None:
    assert read_if_present(tmp_path / "report.json") == {}


def test_the_kept_epoch_is_that_of_the_report_and_of_the_lowest_loss_without_one() -> None:
    rows = [EpochRow(epoch, None, loss, 0.5, 0.1) for epoch, loss in enumerate([1.0, 1.4, 1.2])]
    assert kept_epoch(rows, {"best_epoch": 2}) == rows[2]
    assert kept_epoch(rows, {}) == rows[0]
