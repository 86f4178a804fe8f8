"""Print a study: its best trials, the winner, and trials whose parameters had no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from thaw.config import backbone_weights
from thaw.config.loading import PARAMS_FILE
from thaw.search import attempt, confirmation, equal_trials, tables

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

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


def _print_notes(study: optuna.Study, definition: StudyDefinition) -> None:
    """Print where parameters had no effect."""
    for line in equal_trials.notes(study, definition.metrics[0]):
        _console.print(f"note: {line}", highlight=False, soft_wrap=True)
