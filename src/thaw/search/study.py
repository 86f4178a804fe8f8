"""The study: exactly so many trials, over all workers and machines, whatever is killed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from thaw.errors import ThawError
from thaw.search import storage as storages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from optuna.pruners import BasePruner
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, Trial

    from thaw.config.params import Params
    from thaw.search.search_space import Dimension
    from thaw.search.study_definition import Question
    from thaw.search.trial import Result

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_KEY = "thaw.key"
_GIVEN = {"name", "beside", "of"}  # attributes that a trial had before it was taken


def open_study(
    question: Question, storage: RDBStorage, name: str = "", worker: int = 0
) -> optuna.Study:
    """The study of ``question``, made where there is none yet.

    Raises:
        ThawError: the study of this ``name`` asks something else.
    """
    name = name or question.name
    _make(question, storage, name)
    pruner = NopPruner() if question.params.search.latency else _pruner(question.params)
    study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
    if study.user_attrs.get(_KEY) != question.key:
        raise ThawError(
            f"the study {name} was made with other parameters, another space or other data: give "
            "--study another name, or none"
        )
    # The same seed in two workers, or again after a restart, would draw the same trials.
    seed = _seed(question.params.seed, worker, len(study.get_trials(deepcopy=False)))
    study.sampler = TPESampler(seed=seed, multivariate=True, constant_liar=True)
    return study


def _make(question: Question, storage: RDBStorage, name: str) -> None:
    with storages.alone(storage):
        if name not in optuna.get_all_study_names(storage):
            made = optuna.create_study(
                storage=storage, study_name=name, directions=question.directions
            )
            made.set_user_attr(_KEY, question.key)
            made.set_metric_names(question.metrics)


def existing(question: Question, storage: RDBStorage, name: str = "") -> optuna.Study:
    """The study of ``question``, or the one of this ``name``, as it is.

    Raises:
        ThawError: there is none.
    """
    names = optuna.get_all_study_names(storage)
    wanted = name or question.name
    if wanted not in names:
        main = [other for other in names if not other.endswith(CONFIRM)]
        there = f"; there are {', '.join(main)} (--study NAME)" if main else ""
        what = f"no study {name}" if name else "no study of these parameters and this data yet"
        raise ThawError(f"there is {what}{there}: `thaw search --trials N` starts one")
    return optuna.load_study(study_name=wanted, storage=storage)


CONFIRM = "/confirm"


def _pruner(params: Params) -> BasePruner:
    wanted = params.search.space.get("unfreeze.epochs", params.unfreeze.epochs)
    epochs = wanted if isinstance(wanted, int) else int(getattr(wanted, "high", 0) or max(wanted))  # type: ignore[arg-type]
    # The first epochs of blocks at a useful rate are often their worst: docs/search.md. So a trial
    # is heard for half of its epochs, and then the better half of all goes on.
    first = max(1, epochs // 2)
    match params.search.pruner:
        case "hyperband":
            return HyperbandPruner(first, max(1, epochs), reduction_factor=2)
        case "successive_halving":
            return SuccessiveHalvingPruner(first, reduction_factor=2)
    return NopPruner()


def _seed(*parts: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "little") >> 1


def place() -> str:
    """This project on this machine: whose trials are these?"""
    return f"{socket.gethostname()}:{Path.cwd()}"


def enqueue(study: optuna.Study, dimensions: Sequence[Dimension], name: str,
            values: Mapping[str, Any]) -> None:  # fmt: skip
    """Put a trial of these ``values`` first; those beside the space are its own."""
    keys = {dimension.key: dimension for dimension in dimensions}
    inside = {key: keys[key].encode(value) for key, value in values.items() if key in keys}
    beside = {key: value for key, value in values.items() if key not in keys}
    attributes = {"name": name, "beside": json.dumps(beside)}
    study.enqueue_trial(inside, user_attrs=attributes)


def root(trial: FrozenTrial) -> int:
    """The number of the trial that this one is, or that it is another attempt at."""
    return int(trial.system_attrs.get("failed_trial", trial.number))


def roots(study: optuna.Study) -> set[int]:
    """The trials, each once, however often it was tried."""
    return {root(trial) for trial in study.get_trials(deepcopy=False)}


def claim(study: optuna.Study, storage: RDBStorage, trials: int) -> Trial | None:
    """The next trial to run, or None where all ``trials`` are there.

    One whose worker was killed comes first.
    """
    with storages.alone(storage):
        _queue_never_begun(study, storage)
        optuna.storages.fail_stale_trials(study)
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not waiting and len(roots(study)) >= trials:
            return None
        trial = _ask(study)
        trial.set_user_attr("place", place())
        trial.set_user_attr("worker", os.getpid())
        storage.record_heartbeat(trial._trial_id)  # the last: with it the trial is taken
    return trial


def _ask(study: optuna.Study) -> Trial:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that heartbeats are for `optimize`: `alive` sends them
        return study.ask()


def is_busy(study: optuna.Study) -> bool:
    """Whether a trial is still running somewhere, or waits."""
    states = (TrialState.RUNNING, TrialState.WAITING)
    return bool(study.get_trials(deepcopy=False, states=states))


@contextlib.contextmanager
def alive(storage: RDBStorage, trial: Trial) -> Iterator[None]:
    """Write signs of life for ``trial`` as long as this lasts."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(storages.HEARTBEAT):
            # One that fails is made up for by the next: the grace is several of them.
            with contextlib.suppress(optuna.exceptions.StorageInternalError):
                storage.record_heartbeat(trial._trial_id)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def values_of(trial: FrozenTrial | Trial, dimensions: Sequence[Dimension]) -> dict[str, Any]:
    """The values of ``trial`` by dotted key: those of the space, and its own beside them."""
    inside = {d.key: d.decode(trial.params[d.key]) for d in dimensions if d.key in trial.params}
    return {**json.loads(trial.user_attrs.get("beside", "{}")), **inside}


def sample(trial: Trial, dimensions: Sequence[Dimension]) -> dict[str, Any]:
    """Draw what is not fixed yet; the values by dotted key."""
    for dimension in dimensions:
        match dimension.distribution:
            case CategoricalDistribution(choices=choices):
                trial.suggest_categorical(dimension.key, choices)
            case IntDistribution(low=low, high=high, log=log):
                trial.suggest_int(dimension.key, low, high, log=log)
            case FloatDistribution(low=low, high=high, log=log):
                trial.suggest_float(dimension.key, low, high, log=log)
    return values_of(trial, dimensions)


def finish(study: optuna.Study, trial: Trial, state: TrialState, why: str = "",
           result: Result | None = None, metrics: Sequence[str] = ()) -> None:  # fmt: skip
    """Tell how ``trial`` ended; dropped where it was given up for dead, and counts elsewhere."""
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
        if why:
            trial.set_user_attr("why", why)
        if result is not None:
            trial.set_user_attr("result", json.dumps(asdict(result)))
        values = [result.objective(name) for name in metrics] if result else None
        study.tell(trial, values=values, state=state, skip_if_finished=True)


def give_back(study: optuna.Study, storage: RDBStorage, why: str) -> None:
    """What this process runs waits for the next worker; the interruption is no failed attempt.

    What has ended meanwhile, or was given up for dead, is not running: it is left as it is.
    """
    mine = (place(), os.getpid())
    with storages.alone(storage):
        _queue_never_begun(study, storage)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if (trial.user_attrs.get("place"), trial.user_attrs.get("worker")) == mine:
                _queue_again(study, storage, trial._trial_id, why)


def _queue_never_begun(study: optuna.Study, storage: RDBStorage) -> None:
    # Who took one of these was alone as well, but ended before it could show a sign of life.
    for trial_id in storages.never_begun(storage, study._study_id):
        _queue_again(study, storage, trial_id, "its worker was killed as it took it")


def _queue_again(study: optuna.Study, storage: RDBStorage, trial_id: int, why: str) -> None:
    """End this attempt at a trial, and have the next one wait; for who is alone in the storage."""
    trial = storage.get_trial(trial_id)
    storage.set_trial_user_attr(trial_id, "why", why)
    study.tell(trial.number, state=TrialState.FAIL)
    again = optuna.create_trial(
        state=TrialState.WAITING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={k: v for k, v in trial.user_attrs.items() if k in _GIVEN},
        system_attrs={**trial.system_attrs, "failed_trial": root(trial)},
    )
    study.add_trial(again)


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have ended, in any way."""
    return study.get_trials(deepcopy=False, states=_FINISHED)


def ranked(study: optuna.Study) -> list[FrozenTrial]:
    """The complete trials, the best first; by the first objective where there are two."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = 1 if study.directions[0] == StudyDirection.MINIMIZE else -1
    return sorted(complete, key=lambda trial: (sign * trial.values[0], trial.number))
