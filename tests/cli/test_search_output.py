from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from rich.console import Console

from tests.search import project
from tests.search.conftest import _template, params
from tests.search.test_opened_study import opened
from thaw.cli import search_output
from thaw.search.applying import Applied
from thaw.search.equal_trials import notes

if TYPE_CHECKING:
    import pytest

    from thaw.config.params import Params

__all__ = ["_template", "params"]  # fixtures


def test_the_study_is_printed_with_its_winner_its_values_and_equal_trials(
    params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = project.Search(params)
    search.run_all(2)
    stream = io.StringIO()
    monkeypatch.setattr(search_output, "_console", Console(width=200, file=stream))
    search_output.print_study(opened(search))
    printed = stream.getvalue()
    assert "2 trials: 2 complete" in printed
    assert "`thaw search --apply` writes them into params.yaml" in printed
    lines = capsys.readouterr().out
    assert "best so far: trial 0 with log_loss 0.5000 on one seed, not confirmed" in lines
    for note in notes(search.study, search.definition.metrics[0]):
        assert f"note: {note}" in lines
    search_output.print_study(opened(search), as_json=True)
    assert json.loads(capsys.readouterr().out) == opened(search).content()


APPLIED = Applied("thaw-1", 3, {"unfreeze.lr": 0.1}, ["unfreeze.lr"], "winner: trial 3", True)


def test_written_values_are_printed_with_the_winner_and_the_next_search(
    capsys: pytest.CaptureFixture[str],
) -> None:
    search_output.print_applied(APPLIED)
    printed = capsys.readouterr()
    first, second = printed.out.splitlines()
    assert first == "winner: trial 3"
    assert second.startswith("written into params.yaml: unfreeze.lr.")
    assert "--show --study thaw-1`" in printed.err


def test_written_values_are_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    search_output.print_applied(APPLIED, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "study": "thaw-1", "trial": 3, "values": {"unfreeze.lr": 0.1}, "changed": ["unfreeze.lr"],
    }  # fmt: skip
