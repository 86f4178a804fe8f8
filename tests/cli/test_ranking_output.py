from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from tests.advice.tournament.test_leaderboard import entry
from thaw.advice.tournament.backbone_ranking import Named, Ranked
from thaw.cli import ranking_output
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.system.project_paths import PARAMS_FILE

if TYPE_CHECKING:
    from pathlib import Path

BEST = Ranked(Named("timm/a", "pretrained"), entry(0.3), 1.5, 20.0)
EQUAL = Ranked(Named("timm/b", "b.safetensors"), replace(entry(0.3), seconds=1.0), 0.5, 30.0)
WORSE = Ranked(Named("timm/c", "packaged"), entry(0.6), 0.1, 9.0)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the printed table of three backbones."""
    Console(width=200).print(ranking_output.ranking_table([BEST, EQUAL, WORSE]))
    return capsys.readouterr().out


def test_the_table_has_the_distance_of_each_backbone_to_the_best(shown: str) -> None:
    best, equal, worse = (
        next(line for line in shown.splitlines() if name in line)
        for name in ("timm/a", "timm/b", "timm/c")
    )
    assert "0.400" in best
    assert "±" not in best
    assert "0.000 ± 0.000" in equal
    assert "0.300 ± 0.000" in worse
    assert "lda, pad 64" in best


def test_the_verdict_names_the_fastest_of_the_backbones_that_are_as_good() -> None:
    assert ranking_output._verdict([BEST, WORSE]) == "timm/a has the lowest log-loss."
    assert ranking_output._verdict([BEST, EQUAL, WORSE]) == (
        "timm/a has the lowest log-loss; within one standard error of it: timm/b. "
        "The fastest of these is timm/b."
    )


def test_the_best_of_other_backbones_is_applied_without_the_blocks_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    PARAMS_FILE.write_text("head: {taps: [8]}\nunfreeze: {depth: 8}\n")
    monkeypatch.setattr(ranking_output, "read_backbones", lambda *_: [])
    monkeypatch.setattr(ranking_output, "rank", lambda *_: ([BEST], {}))
    ranking_output.rank_backbones("timm/a", tmp_path, apply=True)
    told = capsys.readouterr().out
    assert (
        "values that held for timm/tf_efficientnet_lite0 only are free now: head.taps: auto, "
        "unfreeze.depth: auto\n"
    ) in told
    params = load(Params)
    assert (params.backbone.name, params.head.taps, params.unfreeze.depth) == (
        "timm/a", "auto", "auto",
    )  # fmt: skip
    ranking_output.rank_backbones("timm/a", tmp_path, apply=True)
    told = capsys.readouterr().out
    assert "free now" not in told
    assert "has these values already" in told
