"""Optuna studies: created, continued, found again; their sampler, pruner and ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import optuna
from optuna.pruners import HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.study import StudyDirection
from optuna.trial import TrialState

from thaw.config.search_sections import Range
from thaw.errors import ThawError
from thaw.search.storage import exclusive_lock
from thaw.search.trial_sampler import TrialSampler

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

    from thaw.config.params import Params
    from thaw.search.study_definition import StudyDefinition

CONFIRMATION_SUFFIX = "/confirm"  # of the name of the study that confirms the best trials
_KEY = "thaw.key"
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def open_study(definition: StudyDefinition, storage: RDBStorage, name: str) -> optuna.Study:
    """Return the study of ``definition``; create it if needed.

    Raises:
        ThawError: the study ``name`` exists and has another definition, or ``name`` is that of a
            confirmation.
    """
    name = name or definition.name
    if name.endswith(CONFIRMATION_SUFFIX):
        raise ThawError(
            f"--study {name}: names that end in {CONFIRMATION_SUFFIX} are those of studies that "
            "train the best trials again: give another name"
        )
    _create(definition, storage, name)
    params = definition.params
    pruner = NopPruner() if params.search.latency else pruner_of(params)
    sampler = TrialSampler(params.seed)
    study = optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)
    if study.user_attrs.get(_KEY) != definition.key:
        raise ThawError(
            f"the study {name} was made with other parameters, another search space or other data: "
            "give another name with --study, or omit --study"
        )
    return study


def find_study(definition: StudyDefinition, storage: RDBStorage, name: str = "") -> optuna.Study:
    """Return the study ``name``, by default the one of ``definition``.

    Raises:
        ThawError: there is no such study.
    """
    names = optuna.get_all_study_names(storage)
    others = [other for other in names if not other.endswith(CONFIRMATION_SUFFIX)]
    wanted = name or definition.name
    if wanted not in others:
        hint = f"; there are {', '.join(others)} (--study NAME)" if others else ""
        what = f"no study {name}" if name else "no study of these parameters and this data yet"
        raise ThawError(f"there is {what}{hint}: `thaw search --trials N` starts one")
    return optuna.load_study(study_name=wanted, storage=storage)


def is_confirmation(study: optuna.Study) -> bool:
    """Return whether ``study`` trains the best trials of another study again."""
    return study.study_name.endswith(CONFIRMATION_SUFFIX)


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that are complete, pruned or failed."""
    return study.get_trials(deepcopy=False, states=_FINISHED)


def ranked_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the complete trials, the best first (by the first objective if there are two)."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = 1 if study.directions[0] == StudyDirection.MINIMIZE else -1
    return sorted(complete, key=lambda trial: (sign * trial.values[0], trial.number))


def pruner_of(params: Params) -> BasePruner:
    """Return the pruner ``search.pruner``.

    It prunes no trial before half of the epochs of the longest trial. The first epochs at a useful
    learning rate are often the worst of a trial: docs/search.md.
    """
    epochs = _most_epochs(params)
    first = max(1, epochs // 2)
    match params.search.pruner:
        case "hyperband":
            return HyperbandPruner(first, max(1, epochs), reduction_factor=2)
        case "successive_halving":
            return SuccessiveHalvingPruner(first, reduction_factor=2)
    return NopPruner()


def _most_epochs(params: Params) -> int:
    searched = params.search.space.get("unfreeze.epochs")
    if searched is None:
        return params.unfreeze.epochs
    return int(searched.high) if isinstance(searched, Range) else int(max(searched))


def _create(definition: StudyDefinition, storage: RDBStorage, name: str) -> None:
    with exclusive_lock(storage):
        if name not in optuna.get_all_study_names(storage):
            study = optuna.create_study(
                storage=storage, study_name=name, directions=definition.directions
            )
            study.set_user_attr(_KEY, definition.key)
            study.set_metric_names(definition.metrics)
