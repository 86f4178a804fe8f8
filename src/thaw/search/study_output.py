"""Print a study: its best trials, the winner, and trials whose parameters had no effect."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from rich.console import Console

from thaw.config import backbone_weights
from thaw.search import attempt, confirmation, equal_trials, tables
from thaw.search.study import ranked_trials
from thaw.system import json_output
from thaw.system.project_paths import PARAMS_FILE

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

    from thaw.search.confirmation import Candidate
    from thaw.search.study_definition import StudyDefinition

_console = Console()


def print_winner(found: list[Candidate], definition: StudyDefinition) -> None:
    """Print which trial won, or is the best so far."""
    is_confirmed = confirmation.is_confirmed(found, definition)
    line = tables.winner_line(found, definition.metrics[0], confirmed=is_confirmed)
    _console.print(line, highlight=False, soft_wrap=True)


def print_study(study: optuna.Study, definition: StudyDefinition, connected: RDBStorage) -> None:
    """Print the study in its present state; ``connected`` is its storage."""
    _console.print(tables.best_trials(study, definition))
    if len(study.directions) > 1:
        _console.print("the Pareto front; `thaw search --apply --trial N` writes a trial's values")
        _print_notes(study, definition)
        return
    found = confirmation.candidates(study, definition, connected)
    print_winner(found, definition)
    _print_notes(study, definition)
    if found:
        chosen = attempt.values_of(found[0].trial, definition.dimensions)
        values = backbone_weights.complete(definition.params, chosen)
        _console.print(tables.values_text(values), highlight=False, markup=False, soft_wrap=True)
        _console.print(f"\n`thaw search --apply` writes them into {PARAMS_FILE}")


def print_json(study: optuna.Study, definition: StudyDefinition, connected: RDBStorage) -> None:
    """Print the study as JSON: all complete trials, the winner, and its values."""
    json_output.print_json(as_json(study, definition, connected))


def as_json(
    study: optuna.Study, definition: StudyDefinition, connected: RDBStorage
) -> dict[str, Any]:
    """Return the complete trials, the best first, and the winner; None for two objectives."""
    several = len(study.directions) > 1
    trials = tables.pareto_front(study) if several else ranked_trials(study)
    found = [] if several else confirmation.candidates(study, definition, connected)
    return {
        "study": study.study_name,
        "metrics": list(definition.metrics),
        "counts": tables.counts(study),
        "trials": [_trial(trial, definition) for trial in trials],
        "winner": _winner(found, definition) if found else None,
        "notes": equal_trials.notes(study, definition.metrics[0]),
    }


def _trial(trial: FrozenTrial, definition: StudyDefinition) -> dict[str, Any]:
    return {
        "number": trial.number,
        "metrics": dict(zip(definition.metrics, trial.values, strict=True)),
        "best_epoch": json.loads(trial.user_attrs[attempt.RESULT])["best_epoch"],
        "values": attempt.values_of(trial, definition.dimensions),
        "name": trial.user_attrs.get(attempt.NAME, ""),
    }


def _winner(found: list[Candidate], definition: StudyDefinition) -> dict[str, Any]:
    """Return the first candidate. Its mean and spread over new seeds are None without them."""
    best, is_confirmed = found[0], confirmation.is_confirmed(found, definition)
    finite = is_confirmed and math.isfinite(best.mean)
    chosen = attempt.values_of(best.trial, definition.dimensions)
    return {
        "number": best.trial.number,
        "is_confirmed": is_confirmed,
        "mean": best.mean if finite else None,
        "spread": best.spread if finite else None,
        "values": backbone_weights.complete(definition.params, chosen),
    }


def _print_notes(study: optuna.Study, definition: StudyDefinition) -> None:
    """Print where parameters had no effect."""
    for line in equal_trials.notes(study, definition.metrics[0]):
        _console.print(f"note: {line}", highlight=False, soft_wrap=True)
