from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.evaluation.page import example
from thaw.evaluation.trained_blocks import count_trained
from thaw.system.files import write_json

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("unfreeze", "fold_bn", "count"), [(3, 0, 2), (0, 1, 2), (0, 0, 0), (None, 0, 2)]
)
def test_blocks_count_if_a_stage_kept_an_epoch_of_their_training(
    unfreeze: int | None, fold_bn: int, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = example.subject(tmp_path).spec.model_copy(update={"trained": [3, 4]})
    for stage, best in (("unfreeze", unfreeze), ("fold_bn", fold_bn)):
        report = {} if best is None else {"best_epoch": best}
        write_json(tmp_path / "reports" / stage / "report.json", report)
    assert count_trained(spec, tmp_path / "reports") == count


def test_a_missing_report_does_not_deny_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = example.subject(tmp_path).spec.model_copy(update={"trained": [1]})
    assert count_trained(spec, tmp_path / "nowhere") == 1
