from __future__ import annotations

from typing import TYPE_CHECKING

from tests.advice.project import PREPARED
from tests.advice.tournament.test_backbone_ranking import LITE0, SMALL, saved
from thaw.advice.tournament.backbone_table import show_backbones
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_best_backbone_and_its_weights_are_written(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thaw.advice.tournament.backbone_table._console.width", 160)
    write_values({"head.taps": "auto", "warmup_head.fit": "auto"})
    saved(SMALL, "small.safetensors")
    text = f"{SMALL}=small.safetensors,{LITE0},{SMALL}=missing.safetensors"
    show_backbones(text, PREPARED, apply=False)
    before = load(Params)
    shown = capsys.readouterr()
    assert f"not compared: {SMALL}: " in shown.out + shown.err
    assert "has the lowest log-loss" in shown.out
    show_backbones(f"{SMALL}=small.safetensors", PREPARED, apply=True)
    after = load(Params)
    assert before.backbone.name not in {SMALL, LITE0}
    assert (after.backbone.name, after.backbone.weights) == (SMALL, "small.safetensors")
