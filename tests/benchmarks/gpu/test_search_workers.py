from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import optuna
import pytest
from optuna.trial import TrialState

from benchmarks.gpu import search_workers
from benchmarks.gpu.measurement import Setting

if TYPE_CHECKING:
    from pathlib import Path

    from optuna.trial import FrozenTrial

BEGIN = datetime(2026, 11, 30, 12, 0)


def trial(begin: float, end: float, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    """Return a trial that ran between two times in seconds."""
    value = 1.0 if state == TrialState.COMPLETE else None
    made = optuna.trial.create_trial(state=state, value=value)
    made.datetime_start = BEGIN + timedelta(seconds=begin)
    made.datetime_complete = BEGIN + timedelta(seconds=end)
    return made


def test_the_rate_is_that_of_the_time_in_which_any_worker_has_a_trial() -> None:
    trials = [trial(5, 20), trial(0, 10), trial(10, 30)]
    assert search_workers.trials_a_minute(trials) == pytest.approx(6.0)


@pytest.mark.parametrize("others", [[], [trial(0, 1), trial(1, 2, TrialState.FAIL)]])
def test_a_search_that_lacks_results_is_no_measurement(others: list[FrozenTrial]) -> None:
    with pytest.raises(RuntimeError, match=r"of \d trials are complete"):
        search_workers.trials_a_minute(others)


def test_workers_share_the_first_gpu_or_the_cpu() -> None:
    assert search_workers.options(3, "cuda") == ["--device", "cuda:0", "--per-device", "3"]
    assert search_workers.options(3, "cpu") == ["--device", "cpu", "--workers", "3"]


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The options of each search, which needs no time. Two workers are the fastest."""
    done: list[list[str]] = []

    def make(folder: Path, _: object) -> Path:
        folder.mkdir()
        return folder

    def searched(_: Path, __: int, workers: list[str]) -> float:
        done.append(workers)
        return 60.0

    monkeypatch.setattr(search_workers, "make_project", make)
    monkeypatch.setattr(search_workers, "run_stages", lambda *_: None)
    monkeypatch.setattr(search_workers, "_searched", searched)
    rates = iter([2.0, 5.0, 4.0])
    monkeypatch.setattr(search_workers, "_trials_of", lambda _: [])
    monkeypatch.setattr(search_workers, "trials_a_minute", lambda _: next(rates))
    return done


def test_the_fastest_number_of_workers_is_named(tmp_path: Path, searches: list[list[str]]) -> None:
    *_, last = search_workers.rows(Setting(tmp_path, tiny=True))
    assert last.name == "search, fastest number of --per-device"
    assert (last.value, last.note) == (2, "2.50 of the trials of one worker")
    assert [workers[-1] for workers in searches] == ["1", "1", "2", "3"]  # the first one is warm-up


def test_a_search_that_fails_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_workers, "command", lambda *_: ["sh", "-c", "echo no space; exit 2"])
    with pytest.raises(RuntimeError, match="--workers 2 ended with 2: no space"):
        search_workers._searched(tmp_path, 1, ["--workers", "2"])
