"""`thaw probe` and `thaw advise` on a tiny project."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.advice.verbs import params, thaw
from thaw.config.editing import write_values


@pytest.fixture(autouse=True)
def wide(tuned: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a width of the terminal that breaks no line."""
    monkeypatch.setenv("COLUMNS", "120")


def test_probe_prints_and_draws_every_block(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = thaw(capsys, "probe")
    for name in ("7", "6 to 7", "1 to 7"):
        assert f" {name} " in shown
    assert Path("reports/probe.png").stat().st_size > 1000


def test_advice_is_written_into_params_yaml_only_with_apply(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = params()
    shown = thaw(capsys, "advise")
    assert "Few images, " in shown
    assert "training images in 3 classes" in shown
    assert params() == before
    assert "written into params.yaml: " in thaw(capsys, "advise", "--apply")
    after = params()
    assert after["warmup_head"]["fit"] == "logistic"
    assert (after["unfreeze"]["depth"], after["fold_bn"]["epochs"]) == (0, 0)
    changed = {s for s in before if before[s] != after[s]}
    assert changed <= {"head", "augment", "regularize", "warmup_head", "unfreeze", "fold_bn"}


def test_training_is_recommended_for_a_backbone_without_pretrained_weights(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_values({"backbone.weights": "none"})
    shown = thaw(capsys, "advise", "--apply")
    assert "No pretrained weights: train all blocks." in shown
    assert "backbone.weights is none" in shown
    assert params()["unfreeze"]["depth"] == 7
