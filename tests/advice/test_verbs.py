"""`thaw probe` and `thaw advise`, also of backbones, on a tiny project."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.advice.project import PREPARED
from tests.advice.tournament.test_backbone_ranking import LITE0, SMALL, saved
from tests.advice.verbs import params, thaw
from thaw.advice.tournament import training_choice
from thaw.advice.tournament.head_tournament import HeadTournament
from thaw.cli.advice import advise
from thaw.cli.ranking_output import rank_backbones
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.errors import ThawError


@pytest.fixture(autouse=True)
def wide(tuned: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a width of the terminal that breaks no line."""
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.slow
def test_probe_prints_and_draws_every_block(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = thaw(capsys, "probe")
    for name in ("7", "6 to 7", "1 to 7"):
        assert f" {name} " in shown
    assert Path("reports/probe.png").stat().st_size > 1000


@pytest.mark.slow
def test_probe_prints_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(thaw(capsys, "probe", "--json"))
    assert [probe["blocks"] for probe in found["block_probes"]] == [[n] for n in range(1, 8)]
    assert found["picture"] == "reports/probe.png"
    assert 0.8 < max(probe["accuracy"] for probe in found["joint_probes"]) <= 1


@pytest.mark.slow
def test_advice_is_written_into_params_yaml_only_with_apply(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = params()
    shown = thaw(capsys, "advise")
    assert "Heads on frozen features" in shown
    assert "head alone" in shown
    assert "Train only the head: " in shown or "Fine-tune: " in shown
    assert params() == before
    thaw(capsys, "advise", "--apply")
    after = params()
    assert after["warmup_head"]["fit"] in {"logistic", "svm", "lda"}
    assert after["warmup_head"]["strength"] != "auto"
    assert "auto" not in (after["backbone"]["framing"], after["unfreeze"]["depth"])
    changed = {s for s in before if before[s] != after[s]}
    assert changed <= {"backbone", "head", "augment", "warmup_head", "unfreeze", "fold_bn"}


@pytest.mark.slow
def test_a_second_advice_compares_nothing_and_is_the_same(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.loads(thaw(capsys, "advise", "--json"))
    monkeypatch.setattr(HeadTournament, "run", None)
    monkeypatch.setattr(training_choice, "_compare", None)
    assert json.loads(thaw(capsys, "advise", "--json")) == first
    assert first["values"]["backbone.image_size"] == next(
        row["image_size"] for row in first["heads"] if row["chosen"]
    )
    assert sum(row["chosen"] for row in first["trainings"]) == 1


@pytest.mark.slow
def test_an_advice_that_time_has_shortened_says_so(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "The time was over" in thaw(capsys, "advise", "--minutes", "0")
    assert "The time was over" not in thaw(capsys, "advise", "--minutes", "100")


def test_a_ranking_of_backbones_takes_no_time_limit(project: Path) -> None:
    with pytest.raises(ThawError, match="fewer backbones, or a lower warmup_head"):
        advise(backbones=SMALL, minutes=1.0)


@pytest.mark.slow
def test_training_is_recommended_for_a_backbone_without_pretrained_weights(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    auto = ("image_size", "framing")
    write_values({"backbone.weights": "none", **{f"backbone.{key}": "auto" for key in auto}})
    write_values({"augment.crop": "auto", "head.taps": "auto", "warmup_head.fit": "auto"})
    shown = thaw(capsys, "advise", "--apply")
    assert "No pretrained weights: train all blocks." in shown
    assert "backbone.weights is none" in shown
    assert params()["unfreeze"]["depth"] == 7
    headings = [line for line in shown.splitlines() if re.fullmatch(r"\w+:", line)]
    assert len(headings) == len(set(headings))
    # A search needs numbers in place of these.
    after = load(Params)
    assert "auto" not in (after.backbone.framing, after.backbone.image_size, after.head.taps)
    assert "auto" not in (after.warmup_head.fit, after.augment.crop, after.augment.flip)


@pytest.mark.slow
def test_the_best_backbone_and_its_weights_are_written(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thaw.cli.ranking_output._console.width", 160)
    write_values({"head.taps": "auto", "warmup_head.fit": "auto"})
    saved(SMALL, "small.safetensors")
    text = f"{SMALL}=small.safetensors,{LITE0},{SMALL}=missing.safetensors"
    rank_backbones(text, PREPARED, apply=False)
    before = load(Params)
    shown = capsys.readouterr()
    assert f"not compared: {SMALL}: " in shown.out + shown.err
    assert "has the lowest log-loss" in shown.out
    rank_backbones(f"{SMALL}=small.safetensors", PREPARED, apply=True)
    after = load(Params)
    assert before.backbone.name not in {SMALL, LITE0}
    assert (after.backbone.name, after.backbone.weights) == (SMALL, "small.safetensors")
