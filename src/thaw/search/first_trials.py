"""The first trials of a study: ``params.yaml`` as it is, then with the values of `thaw advise`.

With both among the trials, the best trial is never worse than either. The second one has the values
that `thaw advise` has compared for this data and backbone; without any, the recommendation by
measurements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thaw.advice.recommendation import recommend
from thaw.advice.stored_advice import stored_advice
from thaw.advice.stored_measurements import measured_project
from thaw.config.other_backbones import trial_params
from thaw.config.parameter_values import value_of
from thaw.search import attempt
from thaw.search.storage import exclusive_lock
from thaw.search.trial_queue import enqueue, latest_attempts
from thaw.system.console import say

if TYPE_CHECKING:
    from pathlib import Path

    import optuna
    import torch
    from optuna.storages import RDBStorage

    from thaw.search.study_definition import StudyDefinition

CURRENT, ADVICE = "params.yaml", "advice"  # their names


def enqueue_first_trials(
    study: optuna.Study,
    storage: RDBStorage,
    definition: StudyDefinition,
    prepared: Path,
    trials: int,
    device: torch.device | None = None,
) -> None:
    """Add the first trials that the study lacks, as long as it has fewer than ``trials``."""
    missing = _missing(study, trials)
    if not missing:
        return
    advised: dict[str, Any] = {}
    if ADVICE in missing:
        advised = _advised(prepared, device)
    first = first_trials(definition, advised)
    if ADVICE in missing and _are_equal(definition, first):
        first = first[:1]
        say(f"{CURRENT} has the values of the advice: they are one trial")
    with exclusive_lock(storage):
        still_missing = _missing(study, trials)  # another machine may have added some
        for name, values in first:
            if name in missing and name in still_missing:
                enqueue(study, definition.dimensions, name, values)


def _are_equal(definition: StudyDefinition, first: list[tuple[str, dict[str, Any]]]) -> bool:
    """Return whether both trials train with the same parameters, as after `thaw advise --apply`."""
    (_, current), (_, advice) = first
    return trial_params(definition.params, current) == trial_params(definition.params, advice)


def _advised(prepared: Path, device: torch.device | None) -> dict[str, Any]:
    """Return the stored values of `thaw advise`, or those of the recommendation by measurements."""
    if (compared := stored_advice(prepared, device)) is not None:
        say(f"the trial {ADVICE} has the values that `thaw advise` has compared for this data")
        return compared
    say("measuring the data for advice")
    return recommend(measured_project(prepared, device)).values


def first_trials(
    definition: StudyDefinition, advised: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """Return the names and values of the first trials.

    An advised value outside of the space is replaced by the nearest one inside, if there is one.
    """
    params = definition.params
    current = {d.key: value_of(params, d.key) for d in definition.dimensions}
    nearest = {d.key: d.nearest(advised[d.key]) for d in definition.dimensions if d.key in advised}
    searched = {key: value for key, value in nearest.items() if value is not None}
    fixed = {key: value for key, value in advised.items() if key not in nearest}
    values = {**current, **fixed, **searched}
    # A head with hidden layers can only be trained by its gradient.
    has_hidden_layers = bool(values.get("head.hidden", params.head.hidden))
    if has_hidden_layers and fixed.get("warmup_head.fit", "gradient") != "gradient":
        del values["warmup_head.fit"]
    if values.get("warmup_head.fit") != advised.get("warmup_head.fit"):
        # The advised strength is that of the advised fit.
        values = {k: v for k, v in values.items() if k not in {"warmup_head.strength"} & {*fixed}}
    return [(CURRENT, current), (ADVICE, values)]


def _missing(study: optuna.Study, trials: int) -> list[str]:
    """Return the names of the first trials that are missing and fit into ``trials``."""
    present = {trial.user_attrs.get(attempt.NAME) for trial in study.get_trials(deepcopy=False)}
    room = max(0, trials - len(latest_attempts(study)))
    return [name for name in (CURRENT, ADVICE) if name not in present][:room]
