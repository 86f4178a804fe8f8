from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from thaw.errors import ThawError
from thaw.evaluation.last_result import Result, read_last_result

if TYPE_CHECKING:
    from pathlib import Path

REGISTERED = {"run_id": "r1", "name": "flowers", "version": 7, "alias": "challenger"}


def test_the_result_is_read_from_both_reports(tmp_path: Path) -> None:
    assert read_last_result(tmp_path) is None
    (tmp_path / "metrics.json").write_text(json.dumps({"test": {"accuracy": 0.75}}))
    assert read_last_result(tmp_path) is None
    (tmp_path / "registered.json").write_text(json.dumps(REGISTERED))
    result = read_last_result(tmp_path)
    assert result == Result({"accuracy": 0.75}, "r1", "flowers", 7)
    assert result.model_uri == "models:/flowers/7"


@pytest.mark.parametrize("content", ["{", "[]", "{}", "null"])
def test_a_damaged_report_names_the_command_that_repairs_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    (tmp_path / "registered.json").write_text(json.dumps(REGISTERED))
    with pytest.raises(ThawError, match=r"is damaged .*dvc repro --single-item --force evaluate"):
        read_last_result(tmp_path)
