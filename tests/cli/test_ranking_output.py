from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from tests.advice.tournament.test_leaderboard import entry
from thaw.advice.tournament.backbone_ranking import Named, Ranked
from thaw.cli import ranking_output

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
