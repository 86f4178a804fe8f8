from __future__ import annotations

import io
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
