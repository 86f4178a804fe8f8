"""`thaw probe`, `thaw advise` and `thaw find-lr` on a tiny project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from thaw.cli.main import app
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params


@pytest.fixture(autouse=True)
def wide(tuned: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A width that breaks no line."""
    monkeypatch.setenv("COLUMNS", "120")


def thaw(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the verb prints."""
    app(list(arguments), standalone_mode=False)
    return capsys.readouterr().out


def params() -> dict[str, Any]:
    return load(Params).model_dump()


def test_probe_shows_and_draws_every_block(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = thaw(capsys, "probe")
    for name in ("7", "6 to 7", "1 to 7"):
        assert f" {name} " in shown
    assert Path("reports/probe.png").stat().st_size > 1000


def test_advice_is_applied_where_asked_for(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = params()
    shown = thaw(capsys, "advise")
    assert "small and" in shown
    assert "training images of 3 classes" in shown
    assert params() == before
    assert "written into params.yaml: " in thaw(capsys, "advise", "--apply")
    after = params()
    assert after["warmup_head"]["fit"] == "logistic"
    assert (after["unfreeze"]["depth"], after["fold_bn"]["epochs"]) == (0, 0)
    changed = {s for s in before if before[s] != after[s]}
    assert changed <= {"head", "augment", "regularize", "warmup_head", "unfreeze", "fold_bn"}


def test_a_backbone_from_scratch_is_advised_to_train(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_values({"backbone.weights": "none"})
    shown = thaw(capsys, "advise", "--apply")
    assert "from scratch" in shown
    assert "backbone.weights is none" in shown
    assert params()["unfreeze"]["depth"] == 7


@pytest.mark.parametrize("phase", ["unfreeze", "warmup_head"])
def test_find_lr_suggests_rates_and_draws_them(
    project: Path, capsys: pytest.CaptureFixture[str], phase: str
) -> None:
    shown = thaw(capsys, "find-lr", phase)
    assert f"{phase}.lr is 0.00" in shown
    assert "steepest descent: " in shown
    assert Path("reports/rates.png").stat().st_size > 1000


def test_find_lr_resolves_auto_as_the_stage_would(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("thaw.advice.auto_values.say", said.append)
    write_values({"launch.processes": 2, "unfreeze.batch_norm": "auto"})
    thaw(capsys, "find-lr")
    assert said[0].startswith("unfreeze.batch_norm auto: affine (4 images a device and step")
