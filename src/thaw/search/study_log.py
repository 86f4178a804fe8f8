"""The MLflow runs of a study, written from Optuna's trials by the process that runs the workers."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from thaw.metrics.registry import COSTS, METRICS
from thaw.search import attempt, plots
from thaw.search.confirmation import is_confirmed
from thaw.search.study import finished_trials
from thaw.search.tables import winner_line
from thaw.system.console import say
from thaw.tracking.run_owner import DESCRIPTION
from thaw.tracking.study_run import StudyRun, TrialRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import optuna
    from optuna.trial import FrozenTrial

    from thaw.search.confirmation import Candidate
    from thaw.search.study_definition import StudyDefinition

_LOGGED = (*METRICS, *COSTS, "best_epoch", "seconds")  # as metrics of the child run


class StudyLog:
    """The MLflow runs of the trials that this project ran; other machines log their own."""

    def __init__(
        self, study: optuna.Study, definition: StudyDefinition, plots_folder: Path
    ) -> None:
        self._study, self._definition, self._folder = study, definition, plots_folder
        self._run = StudyRun(definition.params, study.study_name, definition.data_digest)
        self._printed = {trial.number for trial in finished_trials(study)}

    def update(self, *, print_each: bool) -> None:
        """Log the trials that have finished since the last call."""
        for trial in finished_trials(self._study):
            if print_each and trial.number not in self._printed:
                self._printed.add(trial.number)
                say(_line(trial, self._definition))
            if trial.user_attrs.get(attempt.LOCATION) == attempt.location():
                self._run.log_trial(record_of(trial, self._definition))

    def finish(self, status: str, found: Sequence[Candidate]) -> None:
        """Log the remaining trials, the plots and the winner; end the run with ``status``."""
        self._run.reread()
        self.update(print_each=False)
        plots.draw(self._study, self._folder, self._definition.metrics[0])
        metrics, tags = _outcome(found, self._definition)
        self._run.finish(status, metrics, tags, self._folder)

    def fail(self) -> None:
        """End the run as failed, without reading the storage."""
        self._run.finish("FAILED", {}, {}, self._folder)


def record_of(trial: FrozenTrial, definition: StudyDefinition) -> TrialRecord:
    """Return ``trial`` in the form in which MLflow logs it."""
    result: dict[str, Any] = json.loads(trial.user_attrs.get(attempt.RESULT, "{}"))
    # In studies of thaw 0.1 the metrics stand beside the other values.
    numbers = {**result, **result.get("metrics", {})}
    reported = [
        {"epoch": epoch, "val_loss": abs(value)}
        for epoch, value in sorted(trial.intermediate_values.items())
    ]
    reason = trial.user_attrs.get(attempt.REASON, "")
    if not reason and trial.state == TrialState.FAIL:
        reason = "its worker was killed"
    started, ended = trial.datetime_start, trial.datetime_complete
    return TrialRecord(
        number=trial.number,
        name=str(trial.user_attrs.get(attempt.NAME, "")),
        state=trial.state.name.lower(),
        reason=str(reason),
        values=definition.complete_values(trial),
        metrics={name: float(numbers[name]) for name in _LOGGED if numbers.get(name) is not None},
        curve=result.get("curve", reported),
        started=int(started.timestamp() * 1000) if started else 0,
        ended=int(ended.timestamp() * 1000) if ended else 0,
    )


def _outcome(
    found: Sequence[Candidate], definition: StudyDefinition
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the metrics and tags of the study's run."""
    if not found:
        return {}, {}
    best = found[0]
    metrics = {"best": float(best.trial.values[0])}
    confirmed = is_confirmed(found, definition)
    line = winner_line(found, definition.metrics[0], confirmed=confirmed)
    tags = {"thaw.best_trial": str(best.trial.number), DESCRIPTION: line}
    if confirmed:
        metrics |= {"winner_mean": best.mean, "winner_spread": best.spread}
        tags["thaw.winner"] = str(best.trial.number)
        for other in found[1:]:
            metrics |= {"runner_up_mean": other.mean, "runner_up_spread": other.spread}
    # A candidate that diverged on a new seed has no finite mean.
    return {name: value for name, value in metrics.items() if math.isfinite(value)}, tags


def _line(trial: FrozenTrial, definition: StudyDefinition) -> str:
    record = record_of(trial, definition)
    values = ", ".join(f"{key} {value}" for key, value in record.values.items())
    outcome = record.reason
    if trial.values and trial.state == TrialState.COMPLETE:
        outcome = ", ".join(
            f"{name} {value:.4f}"
            for name, value in zip(definition.metrics, trial.values, strict=True)
        )
    return f"trial {trial.number} {record.state}: {outcome} ({values})"
