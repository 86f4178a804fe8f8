from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from tests.search import project
from thaw.search import confirmation
from thaw.search.commands import _ConfirmationLines, _confirming, _view
from thaw.search.opened_study import OpenedStudy
from thaw.search.progress import StudyProgress, progress_of

if TYPE_CHECKING:
    from thaw.config.params import Params

NOW = datetime(2026, 1, 1, 12, 0)
RUNNING, WAITING = TrialState.RUNNING, TrialState.WAITING


def trial(state: TrialState, began: float, seconds: float = 0.0) -> FrozenTrial:
    """Return a trial that began ``began`` seconds ago and took ``seconds`` if it has ended."""
    begin = NOW - timedelta(seconds=began)
    end = begin + timedelta(seconds=seconds)
    return FrozenTrial(
        number=0,
        state=state,
        value=0.5 if state == TrialState.COMPLETE else None,
        datetime_start=None if state == WAITING else begin,
        datetime_complete=end if state.is_finished() else None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=0,
    )


ENDED = [trial(TrialState.COMPLETE, 500, 30), trial(TrialState.PRUNED, 400, 10)]  # 20 s each


def test_the_time_of_a_trial_and_the_remaining_time_are_those_of_the_ended_trials() -> None:
    assert progress_of(ENDED, 5, 1, now=NOW) == StudyProgress(2, 5, 20.0, 60.0)


@pytest.mark.parametrize(("workers", "remaining"), [(1, 160.0), (2, 80.0), (4, 40.0), (50, 20.0)])
def test_several_workers_share_what_is_left_as_far_as_there_are_trials(
    workers: int, remaining: float
) -> None:
    assert progress_of(ENDED, 10, workers, now=NOW).remaining == remaining


def test_the_time_that_trials_have_run_already_does_not_remain() -> None:
    running = [trial(RUNNING, 5), trial(RUNNING, 70)]  # 15 s and nothing of 20 s remain
    found = progress_of([*ENDED, *running, trial(WAITING, 0)], 6, 1, now=NOW)
    assert (found.done, found.total) == (2, 6)
    assert found.remaining == (15 + 2 * 20) / 2  # another machine runs one of the two


def test_a_trial_of_a_machine_in_a_zone_that_is_ahead_takes_no_longer() -> None:
    found = progress_of([*ENDED, trial(RUNNING, -7200)], 3, 1, now=NOW)
    assert found.remaining == 20.0


def test_a_search_that_continues_knows_the_times_of_its_earlier_trials() -> None:
    long_ago = [trial(TrialState.COMPLETE, 86400 * 30, 40)]
    assert progress_of(long_ago, 3, 2, now=NOW) == StudyProgress(1, 3, 40.0, 40.0)


def test_no_time_is_shown_before_a_trial_has_ended() -> None:
    found = progress_of([trial(RUNNING, 5), trial(TrialState.FAIL, 9, 1)], 3, 1, now=NOW)
    assert found.text == "1 of 3 trials"


def test_the_trials_of_the_search_tell_the_time_of_the_first_confirmations() -> None:
    assert progress_of([], 4, 1, earlier=ENDED, now=NOW) == StudyProgress(0, 4, 20.0, 80.0)


def test_a_study_with_more_trials_than_asked_for_is_complete() -> None:
    assert progress_of(ENDED, 1, 1, now=NOW) == StudyProgress(2, 2, 20.0, 0.0)


@pytest.mark.parametrize(
    ("remaining", "text"), [(8.2, "8 s"), (89.9, "90 s"), (200.0, "3 min"), (9000.0, "2.5 h")]
)
def test_the_numbers_are_said_in_words(remaining: float, text: str) -> None:
    found = StudyProgress(4, 20, 12.34, remaining)
    assert found.text == f"4 of 20 trials, 12.3 s each, about {text} left"


def test_the_live_view_has_a_bar_for_the_trials_and_one_for_the_confirmation(
    params: Params,
) -> None:
    search = project.Search(params)
    opened = OpenedStudy(search.study, search.definition, search.storage)

    def shown(trials: int = 3) -> str:
        console = Console(width=100)
        with console.capture() as capture:
            console.print(_view(opened, trials, 1))
        return capture.get()

    assert "searching" in shown()
    assert "0 of 3 trials" in shown()
    search.run_all(3)
    assert re.search(r"3 of 3 trials, \d+\.\d s each, about 0 s left", shown())
    assert "confirming" not in shown()
    confirmation.open_confirmation(search.study, search.definition, search.storage)
    assert re.search(
        r"confirming .* 0 of 4 trials, \d+\.\d s each, about \d+ (s|min) left", shown()
    )
    assert "confirming" not in shown(4)  # the search goes on, and finalists may change


def test_without_a_terminal_a_line_says_how_far_the_confirmation_is(
    params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    search = project.Search(params)
    opened = OpenedStudy(search.study, search.definition, search.storage)
    lines = _ConfirmationLines(lambda: _confirming(opened, 3, 1))

    def said() -> list[str]:
        lines.update()
        return capsys.readouterr().err.splitlines()

    search.run_all(3)
    capsys.readouterr()
    assert said() == []  # it has not begun
    confirmation.open_confirmation(search.study, search.definition, search.storage)
    (line,) = said()
    assert line.startswith("confirming the best on new seeds: 0 of 4 trials, ")
    assert said() == []  # nothing has changed
