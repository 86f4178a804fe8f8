"""`thaw find-lr` on a tiny project."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.advice.verbs import params, thaw
from thaw.config.editing import write_values
from thaw.errors import ThawError


@pytest.fixture(autouse=True)
def wide(tuned: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a width of the terminal that breaks no line."""
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["unfreeze", "warmup_head"])
def test_find_lr_prints_suggested_rates_and_draws_the_test(
    project: Path, capsys: pytest.CaptureFixture[str], phase: str
) -> None:
    shown = thaw(capsys, "find-lr", phase)
    assert f"{phase}.lr is 0.00" in shown
    assert "rate at which the loss falls fastest: " in shown
    assert Path("reports/rates.png").stat().st_size > 1000


@pytest.mark.slow
def test_find_lr_prints_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(thaw(capsys, "find-lr", "warmup_head", "--json"))
    assert (found["phase"], found["picture"]) == ("warmup_head", "reports/rates.png")
    assert found["present"] == params()["warmup_head"]["lr"]
    assert min(found["steepest"], found["tenth"]) > 0


@pytest.mark.slow
def test_find_lr_replaces_auto_as_the_stage_does(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("thaw.advice.auto_values.say", said.append)
    write_values({"launch.processes": 2, "unfreeze.batch_norm": "auto"})
    thaw(capsys, "find-lr")
    assert said[0].startswith("unfreeze.batch_norm auto: affine (4 images per device and step")


@pytest.mark.slow
def test_find_lr_refuses_a_rate_that_the_stage_unfreeze_chooses(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_values({"unfreeze.depth": "auto"})
    report = Path("reports/warmup_head/choices.json")
    content = json.loads(report.read_text())
    report.write_text(json.dumps({**content, "is_compared": True}))
    with pytest.raises(ThawError, match=r"depth is auto: .*`thaw advise --apply` writes"):
        thaw(capsys, "find-lr")
    write_values({"unfreeze.blocks": [6]})  # the depth is not read
    assert "unfreeze.lr is " in thaw(capsys, "find-lr")


@pytest.mark.slow
def test_find_lr_tests_the_head_that_auto_trains_for_new_weights(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_values({"backbone.weights": "none", "warmup_head.fit": "auto"})
    assert "warmup_head.lr is " in thaw(capsys, "find-lr", "warmup_head")


def test_find_lr_names_the_command_that_makes_a_missing_warmed_up_model(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = r"models/warmup_head has no model yet: run `dvc repro warmup_head` first"
    Path("models/warmup_head/model.json").unlink()  # as DVC does before a stage runs
    with pytest.raises(ThawError, match=message):
        thaw(capsys, "find-lr")
    shutil.rmtree("models/warmup_head")
    with pytest.raises(ThawError, match=message):
        thaw(capsys, "find-lr")


def test_find_lr_refuses_a_phase_that_trains_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_values({"unfreeze.epochs": 0})
    shutil.rmtree("models/warmup_head")  # a model would not help
    with pytest.raises(ThawError, match=r"unfreeze trains no epoch .*`unfreeze\.epochs: 5`"):
        thaw(capsys, "find-lr")
    write_values({"warmup_head.fit": "logistic"})
    with pytest.raises(ThawError, match=r"warmup_head\.fit is logistic: .*gradient to train it"):
        thaw(capsys, "find-lr", "warmup_head")
