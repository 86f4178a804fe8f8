from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from optuna.trial import TrialState

from tests.search import project
from thaw.search import confirmation, study, tables
from thaw.search.trial import Result

if TYPE_CHECKING:
    from pathlib import Path

    import optuna
    from optuna.storages import RDBStorage
    from optuna.trial import Trial

    from thaw.search.study_definition import Question

Asked = tuple["Question", "RDBStorage", "optuna.Study"]


def searched(folder: Path, **changes: Any) -> Asked:
    """A study of three trials, the first of which is the best, confirmed on two seeds."""
    asked, connected, main = project.new_study(project.make(folder, **changes))
    while (taken := study.claim(main, connected, 3)) is not None:
        study.sample(taken, asked.dimensions)
        end(asked, main, taken, 0.1 * taken.number)
    return asked, connected, main


def end(asked: Question, main: optuna.Study, taken: Trial, loss: float) -> None:
    result = Result({"log_loss": loss, "accuracy": 1 - loss}, None, 1, [], 0.1)
    study.finish(main, taken, TrialState.COMPLETE, "", result, asked.metrics)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def waiting(main: optuna.Study) -> int:
    return len(main.get_trials(states=(TrialState.WAITING,)))


@pytest.mark.parametrize("objective", ["log_loss", "accuracy"])
def test_who_diverges_on_a_new_seed_has_lost(objective: str, here: Path) -> None:
    asked, connected, main = searched(here, objective=objective)
    again = confirmation.open_confirm(main, asked, connected)
    while (taken := study.claim(again, connected, 0)) is not None:
        if taken.user_attrs["of"] == 0 and taken.number == 0:
            study.finish(again, taken, TrialState.PRUNED, "the gradient is not finite")
        else:
            end(asked, again, taken, 0.4 if taken.user_attrs["of"] else 0.1)
    found = confirmation.contenders(main, asked, connected)
    assert confirmation.is_confirmed(found, asked)
    assert [each.trial.number for each in found] == [1, 0]
    line = tables.verdict(found, objective, confirmed=True)
    assert line.startswith("winner: trial 1")
    assert line.endswith("runner-up: trial 0 with none (it diverged on a seed)")


def test_a_run_that_failed_is_queued_again_some_times(here: Path) -> None:
    asked, connected, main = searched(here)
    for attempt in range(5):
        again = confirmation.open_confirm(main, asked, connected)
        assert waiting(again) == {0: 4, 1: 1, 2: 1}.get(attempt, 0)
        while (taken := study.claim(again, connected, 0)) is not None:
            values = study.values_of(taken, [])
            if taken.user_attrs["of"] == 0 and values["seed"] == 1:
                study.finish(again, taken, TrialState.FAIL, "its worker was killed")
            else:
                end(asked, again, taken, 0.3)
    assert not confirmation.is_confirmed(confirmation.contenders(main, asked, connected), asked)


def test_an_interrupted_run_waits_and_is_no_failure(here: Path) -> None:
    asked, connected, main = searched(here)
    for _ in range(5):
        again = confirmation.open_confirm(main, asked, connected)
        assert study.claim(again, connected, 0) is not None
        study.give_back(again, connected, "interrupted")
    again = confirmation.open_confirm(main, asked, connected)
    assert waiting(again) == 4
    while (taken := study.claim(again, connected, 0)) is not None:
        end(asked, again, taken, 0.3)
    assert confirmation.is_confirmed(confirmation.contenders(main, asked, connected), asked)
