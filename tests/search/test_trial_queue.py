from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.orm import Session

from tests.project import ROOT, environment
from tests.search import project
from tests.search.outage import Outage
from thaw.errors import ThawError
from thaw.search import attempt, outages, storage, trial_queue
from thaw.system.project_paths import STORE

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from thaw.config.params import Params


@pytest.mark.slow
def test_a_study_has_exactly_as_many_trials_as_asked_for(params: Params) -> None:
    search = project.Search(params)
    for trials, expected in ((3, 3), (5, 5), (2, 5)):  # continued, never started again
        search.run_all(trials)
        assert search.states() == ["COMPLETE"] * expected


@pytest.mark.slow
def test_the_trial_of_a_killed_worker_is_retried_once_with_its_values(params: Params) -> None:
    search = project.Search(params)
    for _ in range(2):
        search.kill_worker_in_next_trial(1)
        search.make_stale()
    assert search.run(1) is None  # the second attempt was its last
    assert search.states() == ["FAIL", "FAIL"]
    first, second = search.study.trials
    assert first.params == second.params
    assert len(trial_queue.latest_attempts(search.study)) == 1


@pytest.mark.slow
def test_a_trial_with_heartbeats_is_not_taken_by_another_worker(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "HEARTBEAT_INTERVAL", 1)
    search, other = project.Search(params), project.Search(params)

    def objective(trial: optuna.Trial) -> list[float]:
        assert other.run(1) is None
        assert trial_queue.is_busy(other.study)
        return search.complete_trial(trial)

    assert search.run(1, objective) == 0
    assert search.states() == ["COMPLETE"]


@pytest.mark.slow
@pytest.mark.parametrize("stores_a_result", [True, False])
def test_the_result_of_a_trial_that_was_declared_stale_is_dropped(
    params: Params, stores_a_result: bool
) -> None:
    # A suspended worker continues after another one has run its trial again.
    search, other = project.Search(params), project.Search(params)

    def objective(trial: optuna.Trial) -> list[float]:
        other.make_stale()
        assert other.run(1) == 1
        return search.complete_trial(trial) if stores_a_result else [0.5]

    assert search.run(1, objective) == 0
    assert search.states() == ["FAIL", "COMPLETE"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "interruption",
    [KeyboardInterrupt(), ThawError("No space left on device"), StorageInternalError("restart")],
)
def test_an_interrupted_trial_waits_and_keeps_its_retries(
    params: Params, interruption: BaseException
) -> None:
    search = project.Search(params)
    values = []

    def interrupted(trial: optuna.Trial) -> list[float]:
        values.append(search.draw(trial))
        raise interruption

    for _ in range(3):
        with pytest.raises(type(interruption)):
            search.run(1, interrupted)
    search.run(1)
    assert search.states() == ["FAIL", "FAIL", "FAIL", "COMPLETE"]
    assert values[0] == values[1] == values[2]
    assert search.study.trials[3].params == search.study.trials[0].params
    assert len(trial_queue.latest_attempts(search.study)) == 1
    assert all("retry_history" not in trial.system_attrs for trial in search.study.trials)
    reason = str(interruption) or "interrupted"
    assert search.study.trials[0].user_attrs[attempt.REASON] == reason


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        ThawError("No space left on device"),
        StorageInternalError("restart"),
        ZeroDivisionError("of the trial itself"),
    ],
)
def test_an_error_in_a_trial_that_another_process_has_ended_is_raised_as_it_is(
    params: Params, error: BaseException
) -> None:
    search, other = project.Search(params), project.Search(params)

    def objective(_: optuna.Trial) -> list[float]:
        other.make_stale()
        assert other.run(1) == 1
        raise error

    with pytest.raises(type(error)) as raised:
        search.run(1, objective)
    assert raised.value is error
    assert search.states() == ["FAIL", "COMPLETE"]


@pytest.mark.slow
@pytest.mark.parametrize("is_read_before", [True, False])
def test_a_trial_that_its_own_worker_ends_while_another_one_puts_it_back_is_run_once(
    params: Params, monkeypatch: pytest.MonkeyPatch, is_read_before: bool
) -> None:
    # A restart of the database releases the lock of a worker that has taken a trial.
    search, other = project.Search(params), project.Search(params)
    with monkeypatch.context() as patch:
        patch.setattr(attempt, "claim", _killed)
        with pytest.raises(SystemExit):
            search.run(1)
    record_unclaimed = attempt.record_unclaimed

    def ended(study: optuna.Study, storage: BaseStorage, number: int) -> None:
        if not is_read_before:
            record_unclaimed(study, storage, number)
        attempt.mark_interrupted(optuna.Trial(search.study, trial_id), "restart")
        search.study.tell(number, state=TrialState.FAIL)
        if is_read_before:
            record_unclaimed(study, storage, number)

    trial_id = search.study.trials[0]._trial_id
    monkeypatch.setattr(attempt, "record_unclaimed", ended)
    other.run_all(1)
    assert search.states() == ["FAIL", "COMPLETE"]


@pytest.mark.slow
def test_a_trial_that_an_outage_of_the_database_ends_keeps_its_retries(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "_POLL_INTERVAL", 0.0)
    search = project.Search(params)
    outage = Outage(search.storage)

    def objective(trial: optuna.Trial) -> list[float]:
        search.draw(trial)
        outage.begin()
        trial.set_user_attr("some", "value")
        return [0.0]

    for _ in range(2):
        with pytest.raises(StorageInternalError) as raised:
            search.run(1, objective)
        assert outages.is_outage(raised.value)  # so that another worker is started
    search.kill_worker_in_next_trial(1)
    search.make_stale()
    search.run(1)
    assert search.states() == ["FAIL", "FAIL", "FAIL", "COMPLETE"]
    assert search.study.trials[3].system_attrs["retry_history"] == [2]  # the killed one alone
    assert len(trial_queue.latest_attempts(search.study)) == 1


def test_a_trial_that_fails_by_itself_is_not_retried(params: Params) -> None:
    search = project.Search(params)

    def fail(_: optuna.Trial) -> list[float]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        search.run(1, fail)
    assert search.run(1) is None
    assert search.states() == ["FAIL"]


@pytest.mark.slow
@pytest.mark.parametrize("is_a_retry", [False, True])
def test_a_worker_killed_while_it_takes_a_trial_blocks_no_other(
    params: Params, monkeypatch: pytest.MonkeyPatch, is_a_retry: bool
) -> None:
    search = project.Search(params)
    if is_a_retry:  # Optuna gives it the attributes of the first attempt, which was claimed
        search.kill_worker_in_next_trial(1)
        search.make_stale()
    with monkeypatch.context() as patch:
        patch.setattr(attempt, "claim", _killed)
        with pytest.raises(SystemExit):
            search.run(1)
    search.storage.grace_period = 1000
    assert search.run(1) == len(search.states()) - 1
    unclaimed = search.study.trials[is_a_retry]
    assert unclaimed.user_attrs[attempt.LOCATION] == attempt.location()  # so it is logged
    assert unclaimed.user_attrs[attempt.REASON] == "interrupted before it started"
    assert search.states() == [*["FAIL"] * (1 + is_a_retry), "COMPLETE"]
    history = search.study.trials[-1].system_attrs.get("retry_history", [])
    assert history == [0] * is_a_retry  # taking it cost no retry


def _killed(_: optuna.Trial) -> None:
    raise SystemExit


def test_an_interruption_outside_of_the_objective_puts_the_trial_back(params: Params) -> None:
    search = project.Search(params)
    search.kill_worker_in_next_trial(1)  # claimed by this process and still running
    trial_queue.requeue_lost(search.study, search.storage)
    assert search.states() == ["FAIL", "WAITING"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "is_written", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["before", "after"]
)
def test_a_trial_interrupted_at_any_write_is_run_again_and_each_attempt_is_logged(
    params: Params, monkeypatch: pytest.MonkeyPatch, is_written: bool
) -> None:
    search = project.Search(params)
    commit, remaining = Session.commit, 0  # writes until the interruption

    def interrupted(session: Session) -> None:
        nonlocal remaining
        is_main = threading.current_thread() is threading.main_thread()
        remaining -= is_main
        is_last = is_main and remaining == 0
        if is_last and not is_written:
            raise KeyboardInterrupt
        commit(session)
        if is_last:
            raise KeyboardInterrupt

    monkeypatch.setattr(Session, "commit", interrupted)
    interruptions = 0
    while remaining <= 0:
        remaining = interruptions + 1
        try:
            search.run(interruptions + 1)
        except KeyboardInterrupt:
            trial_queue.requeue_lost(search.study, search.storage)
            interruptions += 1
            search.run_all(interruptions)
    assert interruptions > 20
    remaining = 0
    trials = search.study.get_trials(deepcopy=False)
    complete = [attempt.first_attempt(t) for t in trials if t.state == TrialState.COMPLETE]
    assert sorted(complete) == sorted({attempt.first_attempt(trial) for trial in trials})
    assert all(trial.user_attrs[attempt.LOCATION] == attempt.location() for trial in trials)


@pytest.mark.slow
def test_trials_that_do_not_run_here_are_not_put_back(params: Params) -> None:
    search = project.Search(params)
    search.run(2)
    search.kill_worker_in_next_trial(2)
    search.make_stale()
    optuna.storages.fail_stale_trials(search.study)
    trial_queue.requeue_lost(search.study, search.storage)
    assert search.states() == ["COMPLETE", "FAIL", "WAITING"]


def test_given_values_are_used_and_those_outside_of_the_space_are_fixed(params: Params) -> None:
    search = project.Search(params)
    values = {"head.hidden": [8], "unfreeze.depth": 1, "unfreeze.lr": 0.01, "seed": 7}
    trial_queue.enqueue(search.study, search.definition.dimensions, "mine", values)
    search.run(1)
    trial = trial_queue.trial_of(search.study, 0)
    assert trial.user_attrs[attempt.NAME] == "mine"
    assert attempt.values_of(trial, search.definition.dimensions) == values


def test_a_database_that_fails_at_the_end_of_a_trial_is_reported_as_such(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = project.Search(params)

    def fail(*_: object, **__: object) -> None:
        raise StorageInternalError("the server restarts")

    def objective(trial: optuna.Trial) -> list[float]:
        values = search.complete_trial(trial)
        monkeypatch.setattr(type(search.storage), "get_trial", fail)
        return values

    with pytest.raises(StorageInternalError, match="the server restarts"):
        search.run(1, objective)


_WORKER = """
import optuna, sys
from thaw.search import storage, trial_queue
connected = storage.connect(sys.argv[1])
with storage.exclusive_lock(connected):
    study = optuna.create_study(storage=connected, study_name="s", load_if_exists=True)
def objective(trial):
    return [trial.suggest_float("x", 0, 1)]
while (number := trial_queue.run_next(study, connected, 12, objective)) is not None:
    print(number)
"""


@pytest.mark.slow
def test_workers_that_start_together_share_the_trials_of_a_new_database(params: Params) -> None:
    url = storage.url_of("")
    STORE.mkdir()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, url],
            env={**environment(), "PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    numbers = []
    for worker in workers:
        output, _ = worker.communicate(timeout=300)
        assert worker.returncode == 0
        numbers += [int(line) for line in output.split()]
    assert sorted(numbers) == list(range(12))
