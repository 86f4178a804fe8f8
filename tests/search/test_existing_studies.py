"""A study that thaw 0.1 wrote is found, shown, continued and applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.formats.clone import unpack_clone
from tests.search import project
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.search import applying, commands, confirmation
from thaw.search.study import find_study, ranked_trials
from thaw.search.study_log import record_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_clone(tmp_path_factory.mktemp("clone"))


def test_a_study_of_thaw_0_1_is_shown_and_continued(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone)
    search = project.Search(load(Params))
    study = find_study(search.definition, search.storage)
    assert study.study_name == "thaw-e9334189"
    best = ranked_trials(study)[0]
    assert record_of(best, search.definition).metrics["log_loss"] == best.values[0]
    found = confirmation.candidates(study, search.definition, search.storage)
    assert confirmation.is_confirmed(found, search.definition)
    shown = commands.find(project.PREPARED, "")
    assert shown.winner_line(shown.candidates()).startswith("winner: trial")
    assert search.run(2) is None  # it has two trials
    assert search.run(3) == 2
    applying.apply(project.PREPARED, "", None)
    assert search.definition.key == project.Search(load(Params)).definition.key
