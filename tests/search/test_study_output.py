from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from rich.console import Console

from tests.search import project
from thaw.search import study_output
from thaw.search.equal_trials import notes

if TYPE_CHECKING:
    import pytest

    from thaw.config.params import Params


def test_the_study_is_printed_with_its_winner_its_values_and_equal_trials(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = project.Search(params)
    search.run_all(2)
    stream = io.StringIO()
    monkeypatch.setattr(study_output, "_console", Console(width=200, file=stream))
    study_output.print_study(search.study, search.definition, search.storage)
    text = stream.getvalue()
    assert "2 trials: 2 complete" in text
    assert "best so far: trial" in text
    assert "`thaw search --apply` writes them into params.yaml" in text
    for note in notes(search.study, search.definition.metrics[0]):
        assert f"note: {note}" in text


def test_the_study_is_printed_as_json_with_all_trials_and_the_winner(
    params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    search = project.Search(params)
    search.run_all(2)
    study_output.print_json(search.study, search.definition, search.storage)
    content = json.loads(capsys.readouterr().out)
    metric = search.definition.metrics[0]
    scores = [trial["metrics"][metric] for trial in content["trials"]]
    assert sorted(scores) in (scores, scores[::-1])
    assert [trial["number"] for trial in content["trials"]].count(content["winner"]["number"]) == 1
    assert (content["winner"]["is_confirmed"], content["winner"]["mean"]) == (False, None)
    assert content["winner"]["values"].keys() >= content["trials"][0]["values"].keys()
