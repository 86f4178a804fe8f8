from __future__ import annotations

from typing import TYPE_CHECKING

from tests import settings
from thaw.config.parameter_values import with_values
from thaw.search import study_identity

if TYPE_CHECKING:
    import pytest


def test_searched_parameters_are_left_out() -> None:
    values = study_identity.identifying_values(settings.PARAMS, ["unfreeze.lr", "head.hidden"])
    assert "lr" not in values["unfreeze"]
    assert "lr" in values["warmup_head"]
    assert "hidden" not in values["head"]


def test_a_parameter_added_later_counts_only_if_it_is_not_neutral(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = {**study_identity._NAMES_0_1, "regularize": "label_smoothing clip_norm"}
    monkeypatch.setattr(study_identity, "_NAMES_0_1", old)  # as if `ema` were new
    neutral = with_values(settings.PARAMS, {"regularize.ema": 0.0})
    used = with_values(settings.PARAMS, {"regularize.ema": 0.9})
    assert "ema" not in study_identity.identifying_values(neutral, [])["regularize"]
    assert study_identity.identifying_values(used, [])["regularize"]["ema"] == 0.9
