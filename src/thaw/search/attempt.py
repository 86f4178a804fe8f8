"""An attempt: one Optuna trial, and what thaw stores in its attributes.

A trial of a search is tried again when its worker is killed or interrupted. Each attempt is an
Optuna trial of its own; the attempts at one trial have the same :func:`first_attempt`.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna import Study
    from optuna.storages import BaseStorage

    from thaw.search.dimension import Dimension

# Names of user attributes. Existing studies have them: do not change their values.
NAME = "name"  # the origin of a trial with given values, such as "advice"
FIXED_VALUES = "beside"  # JSON: values of parameters outside of the search space
CONFIRMED_TRIAL = "of"  # the number of the trial that trains again on another seed
LOCATION = "place"  # the machine and project folder of the worker
WORKER = "worker"  # a mapping, see claim()
REASON = "why"  # why the trial was pruned or failed
RESULT = "result"  # JSON of the result of a complete trial
_GIVEN = (NAME, FIXED_VALUES, CONFIRMED_TRIAL)  # set before the trial starts
_FIRST_ATTEMPT = "failed_trial"  # the system attribute in which Optuna stores it for a retry


def location() -> str:
    """Return the name of this machine and the folder of this project."""
    return f"{socket.gethostname()}:{Path.cwd()}"


def first_attempt(trial: FrozenTrial) -> int:
    """Return the number of the first attempt at the trial that ``trial`` is an attempt at."""
    first = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
    return trial.number if first is None else int(first)


def values_of(trial: FrozenTrial | Trial, dimensions: Sequence[Dimension]) -> dict[str, Any]:
    """Return the values of ``trial`` by dotted key: those of the space and its fixed ones."""
    searched = {d.key: d.decode(trial.params[d.key]) for d in dimensions if d.key in trial.params}
    return {**json.loads(trial.user_attrs.get(FIXED_VALUES, "{}")), **searched}


def claim(trial: Trial) -> None:
    """Store which process runs ``trial``. From then on only its heartbeats tell if it is alive."""
    trial.set_user_attr(LOCATION, location())
    trial.set_user_attr(WORKER, _worker(trial.number))


def mark_interrupted(trial: Trial, reason: str) -> None:
    """Store that ``trial`` ended without a result and is to be tried again."""
    trial.set_user_attr(LOCATION, location())  # it may be interrupted before it is claimed
    trial.set_user_attr(REASON, reason)
    trial.set_user_attr(WORKER, {**_worker(trial.number), "interrupted": True})


def record_unclaimed(study: Study, storage: BaseStorage, number: int) -> None:
    """Store why attempt ``number`` ended that no process claimed.

    Its worker was interrupted just after Optuna had created it. This project logs it, because
    projects log the attempts with their own location.
    """
    study_id = storage.get_study_id_from_name(study.study_name)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    storage.set_trial_user_attr(trial_id, LOCATION, location())
    storage.set_trial_user_attr(trial_id, REASON, "interrupted before it started")


def is_claimed(trial: FrozenTrial) -> bool:
    """Return whether a process claimed this attempt."""
    worker = trial.user_attrs.get(WORKER)
    # Optuna copies the attributes of a stale attempt to the next one, so the number counts.
    return isinstance(worker, dict) and worker["attempt"] == trial.number


def is_claimed_here(trial: FrozenTrial) -> bool:
    """Return whether this process claimed this attempt."""
    is_local = trial.user_attrs.get(LOCATION) == location()
    return is_claimed(trial) and is_local and trial.user_attrs[WORKER]["pid"] == os.getpid()


def is_interrupted(trial: FrozenTrial) -> bool:
    """Return whether this attempt was marked as interrupted."""
    return is_claimed(trial) and bool(trial.user_attrs[WORKER].get("interrupted"))


def next_attempt(trial: FrozenTrial) -> FrozenTrial:
    """Return a waiting attempt with the values of ``trial``; it costs none of its retries."""
    return create_trial(
        state=TrialState.WAITING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={key: trial.user_attrs[key] for key in _GIVEN if key in trial.user_attrs},
        system_attrs={**trial.system_attrs, _FIRST_ATTEMPT: first_attempt(trial)},
    )


def _worker(number: int) -> dict[str, Any]:
    return {"attempt": number, "pid": os.getpid()}
