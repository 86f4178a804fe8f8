"""From Optuna's trials to MLflow's runs, by the one process that watches the workers."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import optuna

from thaw.metrics.registry import COSTS, METRICS
from thaw.search import plots
from thaw.search.confirmation import is_confirmed
from thaw.search.study import finished, place, values_of
from thaw.system.console import say
from thaw.tracking.study_run import StudyRun, TrialRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from optuna.trial import FrozenTrial

    from thaw.config.params import Params
    from thaw.search.confirmation import Contender
    from thaw.search.study_definition import Question


class Log:
    """The MLflow runs of this project's trials in a study; those of other machines are theirs."""

    def __init__(
        self, params: Params, study: optuna.Study, question: Question, folder: Path
    ) -> None:
        """``folder`` is where pictures are drawn."""
        self._study, self._question, self._folder = study, question, folder
        self._run = StudyRun(params, study.study_name, question.data)
        self._said = {trial.number for trial in finished(study)}

    def update(self, *, say_each: bool) -> None:
        """Log what has finished since the last time."""
        for trial in finished(self._study):
            if say_each and trial.number not in self._said:
                self._said.add(trial.number)
                say(_line(trial, self._question))
            if trial.user_attrs.get("place") == place():
                self._run.log_trial(record(trial, self._question))

    def finish(self, status: str, found: Sequence[Contender]) -> None:
        """Log the rest, the pictures and the verdict."""
        self._run.reread()
        self.update(say_each=False)
        plots.draw(self._study, self._folder, self._question.metrics[0])
        metrics, tags = {}, {}
        if found:
            best = found[0]
            metrics["best"] = float(best.trial.values[0])
            tags["thaw.best_trial"] = str(best.trial.number)
            if is_confirmed(found, self._question):
                metrics |= {"winner_mean": best.mean, "winner_spread": best.spread}
                tags["thaw.winner"] = str(best.trial.number)
                for other in found[1:]:
                    metrics |= {"runner_up_mean": other.mean, "runner_up_spread": other.spread}
        # Who diverged on a new seed has no mean.
        metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self._run.finish(status, metrics, tags, self._folder)

    def give_up(self) -> None:
        """Log that the search failed, and nothing that the storage would have to tell."""
        self._run.finish("FAILED", {}, {}, self._folder)


def record(trial: FrozenTrial, question: Question) -> TrialRecord:
    """``trial`` as it is logged."""
    result: dict[str, Any] = json.loads(trial.user_attrs.get("result", "{}"))
    reported = [
        {"epoch": epoch, "val_loss": abs(value)}
        for epoch, value in sorted(trial.intermediate_values.items())
    ]
    # Studies of thaw 0.1 have the metrics beside the other values.
    stored = {**result, **result.get("metrics", {})}
    numbers = (*METRICS, *COSTS, "best_epoch", "seconds")
    metrics = {name: float(stored[name]) for name in numbers if stored.get(name) is not None}
    why = trial.user_attrs.get("why", "")
    if not why and trial.state == optuna.trial.TrialState.FAIL:
        why = "its worker was killed"
    begun, ended = trial.datetime_start, trial.datetime_complete
    return TrialRecord(
        number=trial.number,
        name=str(trial.user_attrs.get("name", "")),
        state=trial.state.name.lower(),
        why=str(why),
        values=values_of(trial, question.dimensions),
        metrics=metrics,
        curve=result.get("curve", reported),
        begun=int(begun.timestamp() * 1000) if begun else 0,
        ended=int(ended.timestamp() * 1000) if ended else 0,
    )


def _line(trial: FrozenTrial, question: Question) -> str:
    entry = record(trial, question)
    values = ", ".join(f"{key} {value}" for key, value in entry.values.items())
    came = entry.why
    if trial.values and trial.state == optuna.trial.TrialState.COMPLETE:
        came = ", ".join(
            f"{name} {value:.4f}"
            for name, value in zip(question.metrics, trial.values, strict=True)
        )
    return f"trial {trial.number} {entry.state}: {came} ({values})"
