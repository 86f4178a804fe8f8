from __future__ import annotations

from typing import Any

import pytest

from tests.config.value_check import check_values
from thaw.config.regularize_section import Regularize


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        ("regularize.label_smoothing", ["auto", 0.0, 0.1], [1.0, -0.1, "off"]),
        ("regularize.ema", [0.0, 0.999], [1.0]),
        ("regularize.l1", [0.0, 1000.0], [-1.0]),
        ("regularize.calibration", ["auto", "off", "temperature", "vector"], ["platt", False]),
    ],
)
def test_values_that_cannot_work_are_refused(
    key: str, accepted: list[Any], refused: list[Any]
) -> None:
    check_values(key, accepted, refused)


@pytest.mark.parametrize(
    ("given", "keeps_statistics", "smoothing"),
    [("auto", True, 0.0), ("auto", False, 0.1), (0.05, True, 0.05), (0.05, False, 0.05)],
)
def test_auto_smooths_no_labels_where_blocks_train_with_running_statistics(
    given: Any, keeps_statistics: bool, smoothing: float
) -> None:
    section = Regularize(label_smoothing=given, ema=0.9)
    found = section.without_auto(keeps_statistics=keeps_statistics)
    assert found == Regularize(label_smoothing=smoothing, ema=0.9)
