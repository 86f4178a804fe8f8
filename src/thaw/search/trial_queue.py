"""The queue of a study: exactly N trials over all workers and machines, whatever is killed."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState

from thaw.errors import ThawError
from thaw.search import attempt
from thaw.search.outages import is_outage, wait_until_it_answers
from thaw.search.storage import HeartbeatStorage, exclusive_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optuna.trial import FrozenTrial, Trial

    from thaw.search.dimension import Dimension

    Objective = Callable[[Trial], Sequence[float]]


def enqueue(
    study: optuna.Study, dimensions: Sequence[Dimension], name: str, values: Mapping[str, Any]
) -> None:
    """Add a waiting trial ``name`` with ``values``; those outside of the space are fixed."""
    by_key = {dimension.key: dimension for dimension in dimensions}
    searched = {key: by_key[key].encode(value) for key, value in values.items() if key in by_key}
    fixed = {key: value for key, value in values.items() if key not in by_key}
    attributes = {attempt.NAME: name, attempt.FIXED_VALUES: json.dumps(fixed)}
    study.enqueue_trial(searched, user_attrs=attributes)


def trial_of(study: optuna.Study, number: int) -> FrozenTrial:
    """Return the trial ``number`` as the storage has it."""
    return next(trial for trial in study.get_trials(deepcopy=False) if trial.number == number)


def latest_attempts(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials of the study, each once: its latest attempt."""
    trials = study.get_trials(deepcopy=False)
    return list({attempt.first_attempt(trial): trial for trial in trials}.values())


def is_busy(study: optuna.Study) -> bool:
    """Return whether a trial waits or is running, on this or another machine."""
    states = (TrialState.RUNNING, TrialState.WAITING)
    return bool(study.get_trials(deepcopy=False, states=states))


def run_next(
    study: optuna.Study, storage: HeartbeatStorage, trials: int, objective: Objective
) -> int | None:
    """Run the next trial and return its number; None if there is nothing to run.

    Trials that wait come first, among them those whose worker was killed or interrupted. Otherwise
    a new one is run if the study has fewer than ``trials``.

    ``objective`` returns the values of the trial or raises TrialPruned. Any other exception is
    raised again. ThawError, StorageInternalError and KeyboardInterrupt are interruptions: the
    trial is tried again and that costs none of its retries. To store that, this process waits for
    a database that does not answer. After any other exception the trial has failed.
    """
    with contextlib.ExitStack() as lock:
        require_lock = lock.enter_context(exclusive_lock(storage))
        _requeue(study, storage, _is_lost)
        optuna.storages.fail_stale_trials(study)
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not waiting and len(latest_attempts(study)) >= trials:
            return None
        require_lock()  # a restart of the database releases it: another worker may count now
        storage.forget_heartbeat()
        runner = _Runner(storage, objective, lock)
        try:
            study.optimize(runner, n_trials=1)
        except Exception as error:
            # Optuna raises another error on top if the trial was ended by another process.
            cause = runner.error or error
            if (interruption := _interruption(cause)) is not None:
                raise interruption from interruption.__cause__  # it tells an outage
            if runner.error is not None:
                raise runner.error from runner.error.__cause__
            if not runner.has_lost_its_trial(study):
                raise
    return runner.number


def requeue_lost(study: optuna.Study, storage: HeartbeatStorage) -> None:
    """Let another worker run what this process was running when it was interrupted."""
    with exclusive_lock(storage):
        _requeue(study, storage, lambda trial: _is_lost(trial) or _is_running_here(trial))


@dataclass
class _Runner:
    """The objective that Optuna calls: ``objective``, after the trial is claimed."""

    storage: HeartbeatStorage
    objective: Objective
    lock: contextlib.ExitStack
    number: int | None = None
    error: BaseException | None = None  # of the trial, or its interruption

    def __call__(self, trial: Trial) -> Sequence[float]:
        self.number = trial.number
        try:
            # Optuna never declares a trial stale that has no heartbeat at all. So a trial counts
            # as claimed only after its first one; until then the lock is held.
            self.storage.wait_for_heartbeat()
            attempt.claim(trial)
            self.lock.close()
            return self.objective(trial)
        except (KeyboardInterrupt, ThawError, StorageInternalError) as error:
            self.error = error
            with contextlib.suppress(UpdateFinishedTrialError, StorageInternalError):
                if is_outage(error):
                    wait_until_it_answers(self.storage)  # an attempt without the mark costs a retry
                attempt.mark_interrupted(trial, str(error) or "interrupted")
            raise
        except (optuna.TrialPruned, UpdateFinishedTrialError):
            raise
        except Exception as error:
            self.error = error
            raise

    def has_lost_its_trial(self, study: optuna.Study) -> bool:
        """Return whether another process declared the trial stale while this one ran it."""
        if self.number is None:
            return False
        return trial_of(study, self.number).state == TrialState.FAIL


def _interruption(error: BaseException) -> KeyboardInterrupt | StorageInternalError | None:
    """Return the signal or the failure of the database that caused ``error``, if there is one.

    When one of them interrupts Optuna while it stores the end of a trial, Optuna raises
    UnboundLocalError or AssertionError on top of it.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (KeyboardInterrupt, StorageInternalError)):
        cause = cause.__cause__ or cause.__context__
    return cause


def _is_lost(trial: FrozenTrial) -> bool:
    """Return whether the latest attempt at a trial ended without heartbeat or result."""
    if trial.state == TrialState.RUNNING:  # the lock is held: who took it does not hold it any more
        return not attempt.is_claimed(trial)
    return trial.state == TrialState.FAIL and attempt.is_interrupted(trial)


def _is_running_here(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.RUNNING and attempt.is_claimed_here(trial)


def _requeue(
    study: optuna.Study, storage: HeartbeatStorage, is_lost: Callable[[FrozenTrial], bool]
) -> None:
    for trial in latest_attempts(study):
        if is_lost(trial) and is_lost(ended := _ended(study, storage, trial)):
            study.add_trial(attempt.next_attempt(ended))


def _ended(study: optuna.Study, storage: HeartbeatStorage, trial: FrozenTrial) -> FrozenTrial:
    """End an attempt as failed if it is running; return it.

    It is returned as it is now if another process ends it at the same time. Its own worker does so
    when the database restarts, which releases the lock that it has while it takes a trial.
    """
    if trial.state != TrialState.RUNNING:
        return trial
    try:
        if not attempt.is_claimed(trial):
            attempt.record_unclaimed(study, storage, trial.number)
        study.tell(trial.number, state=TrialState.FAIL)
    except (UpdateFinishedTrialError, ValueError):
        return trial_of(study, trial.number)
    return trial
