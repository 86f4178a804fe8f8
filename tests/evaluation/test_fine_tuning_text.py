from __future__ import annotations

from typing import Any

import pytest

from thaw.evaluation.fine_tuning_text import comparison_text

LOSSES = "validation loss 0.5000 (head alone) to 0.4000"
FELL = "it fell by 0.1000 (standard error"


def found(**changed: Any) -> dict[str, Any]:
    return {
        "is_kept": False,
        "head_log_loss": 0.5,
        "log_loss": 0.4,
        "difference": -0.1,
        "difference_error": 0.12,
        "needed_gain": 0.12,
        **changed,
    }


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            {},
            f"{FELL} 0.1200), but more than 0.1200 is needed (one standard error)",
        ),
        (
            {"is_kept": True, "difference_error": 0.02, "needed_gain": 0.02},
            f"{FELL} 0.0200), and more than 0.0200 is needed (one standard error)",
        ),
        (
            {"is_kept": True, "needed_gain": 0.005},
            f"{FELL} 0.1200), and more than 0.0050 is needed (a hundredth of the loss)",
        ),
        (
            {"difference_error": None, "needed_gain": None},
            "it fell by 0.1000, but with one validation image no difference is certain",
        ),
    ],
)
def test_the_reason_names_what_the_loss_must_fall_by(changed: dict[str, Any], reason: str) -> None:
    assert comparison_text(found(**changed)) == f"{LOSSES}: {reason}"


def test_a_loss_that_did_not_fall_needs_no_other_reason() -> None:
    text = comparison_text(found(log_loss=0.6, difference=0.1))
    assert text == "validation loss 0.5000 (head alone) to 0.6000: it did not fall"


def test_the_report_of_an_earlier_version_has_no_needed_gain() -> None:
    earlier = found()
    del earlier["needed_gain"]
    assert comparison_text(earlier) == f"{LOSSES}: {FELL} 0.1200)"
