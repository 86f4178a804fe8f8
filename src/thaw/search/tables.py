"""Tables and lines that `thaw search` prints: best trials, counts, the winner."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from thaw.search import attempt
from thaw.search.equal_trials import are_equal
from thaw.search.study import ranked_trials
from thaw.search.trial_queue import latest_attempts
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    import optuna
    from optuna.trial import FrozenTrial
    from rich.console import RenderableType

    from thaw.search.confirmation import Candidate
    from thaw.search.dimension import Dimension
    from thaw.search.study_definition import StudyDefinition

_ROWS = 10  # of the table of the best trials


def best_trials(study: optuna.Study, definition: StudyDefinition) -> RenderableType:
    """Return a table of the best trials (of the Pareto front, for two objectives) and counts."""
    several = len(study.directions) > 1
    shown = pareto_front(study) if several else ranked_trials(study)[:_ROWS]
    table = Table(title=escape(f"search {study.study_name}"))
    table.add_column("trial", justify="right")
    for name in definition.metrics:
        table.add_column(name, justify="right")
    table.add_column("epoch", justify="right")
    for dimension in definition.dimensions:
        # A narrow terminal breaks names at the point, instead of cutting them.
        name = escape(dimension.key.replace(".", ".\n"))
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    for trial in shown:
        table.add_row(*_row(trial, definition.dimensions))
    return Group(table, Text(counts(study)))


def pareto_front(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that no other beats in both objectives, sorted by the first one."""
    return sorted(study.best_trials, key=lambda trial: trial.values[0])


def counts(study: optuna.Study) -> str:
    """Return how many trials there are in each state; a trial counts once, as its last attempt."""
    latest = latest_attempts(study)
    states = [trial.state for trial in latest]
    parts = [
        f"{states.count(state)} {word}"
        for state, word in (
            (TrialState.COMPLETE, "complete"),
            (TrialState.PRUNED, "pruned"),
            (TrialState.RUNNING, "running"),
            (TrialState.WAITING, "waiting"),
            (TrialState.FAIL, "failed"),
        )
        if state in states
    ]
    retries = len(study.get_trials(deepcopy=False)) - len(latest)
    note = f"; {retries} tried again" if retries else ""
    return f"{quantity(len(latest), 'trial')}: {', '.join(parts)}{note}"


def winner_line(found: Sequence[Candidate], metric: str, *, confirmed: bool) -> str:
    """Return which trial won and by how much, or which is best so far."""
    if not found:
        return "no trial is complete yet"
    if not confirmed:
        best = found[0].trial
        return (
            f"best so far: trial {best.number} with {metric} {best.values[0]:.4f} on one seed, not "
            "confirmed"
        )
    first = found[0]
    seeds = f"over {quantity(len(first.values), 'new seed')}"
    line = f"trial {first.trial.number} with {metric} {_mean_text(first)} {seeds}"
    if len(found) == 1:
        return f"winner: {line} (there is no runner-up)"
    other = f"trial {found[1].trial.number} with {_mean_text(found[1])}"
    if is_clear(found):
        return f"winner: {line}; runner-up: {other}"
    return (
        f"no clear winner: {line}, {other}: the gap is within the spread of seeds. Trial "
        f"{first.trial.number} counts as the winner"
    )


def is_clear(found: Sequence[Candidate]) -> bool:
    """Return whether the winner is better than the runner-up by more than the spread of seeds.

    Rounding is no difference: two trials of the same model have no spread where the seed has no
    effect.
    """
    if len(found) == 1:
        return True
    first, other = found
    if are_equal(first.mean, other.mean):
        return False
    return not abs(first.mean - other.mean) <= max(first.spread, other.spread)


def values_text(values: dict[str, Any]) -> str:
    """Return ``values`` as indented lines of ``key: value``."""
    return "\n".join(f"  {key}: {_short(value)}" for key, value in values.items())


def _mean_text(candidate: Candidate) -> str:
    if not math.isfinite(candidate.mean):
        return "none (it diverged on a seed)"
    return f"{candidate.mean:.4f} ± {candidate.spread:.4f}"


def _row(trial: FrozenTrial, dimensions: Sequence[Dimension]) -> list[str]:
    result = json.loads(trial.user_attrs[attempt.RESULT])
    values = attempt.values_of(trial, dimensions)
    cells = [str(trial.number), *(f"{value:.4f}" for value in trial.values)]
    cells.append(str(result["best_epoch"]))
    cells += [escape(_short(values.get(dimension.key, ""))) for dimension in dimensions]
    return [*cells, str(trial.user_attrs.get(attempt.NAME, ""))]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
