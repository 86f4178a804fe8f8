"""What a person sees of a search: the best trials, how many there are, who won."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from thaw.search.study import ranked, root, values_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import optuna
    from optuna.trial import FrozenTrial
    from rich.console import RenderableType

    from thaw.search.confirmation import Contender
    from thaw.search.search_space import Dimension
    from thaw.search.study_definition import Question

_ROWS = 10


def best_trials(study: optuna.Study, question: Question) -> RenderableType:
    """The best trials and a line of counts; with two objectives, the Pareto front."""
    several = len(study.directions) > 1
    shown = front(study) if several else ranked(study)[:_ROWS]
    table = Table(title=escape(f"search {study.study_name}"))
    table.add_column("trial", justify="right")
    for name in question.metrics:
        table.add_column(name, justify="right")
    table.add_column("epoch", justify="right")
    for dimension in question.dimensions:
        table.add_column(escape(dimension.key), justify="right")
    table.add_column("")
    for trial in shown:
        table.add_row(*_row(trial, question.dimensions))
    return Group(table, Text(counts(study)))


def front(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that none beats in both objectives, by the first one."""
    return sorted(study.best_trials, key=lambda trial: trial.values[0])


def counts(study: optuna.Study) -> str:
    """How many trials there are, in which states; another attempt at a trial is no trial."""
    trials = study.get_trials(deepcopy=False)
    last = {root(trial): trial for trial in trials}  # by number: the latest attempt wins
    states = [trial.state for trial in last.values()]
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
    again = len(trials) - len(last)
    retried = f"; {again} tried again" if again else ""
    return f"{len(last)} trials: {', '.join(parts)}{retried}"


def verdict(found: Sequence[Contender], metric: str, *, confirmed: bool) -> str:
    """Who won, in a line or two."""
    if not found:
        return "no trial is complete yet"
    if not confirmed:
        best = found[0].trial
        return (
            f"best so far: trial {best.number} with {metric} {best.values[0]:.4f} on one seed, not "
            "confirmed"
        )
    first = found[0]
    seeds = f"over {len(first.values)} new seeds"
    line = f"winner: trial {first.trial.number} with {metric} {_spread(first)} {seeds}"
    if len(found) == 1:
        return f"{line} (there is no runner-up)"
    other = found[1]
    gap = abs(first.mean - other.mean)
    close = gap < max(first.spread, other.spread)
    note = "; the gap is within the spread of seeds" if close else ""
    return f"{line}; runner-up: trial {other.trial.number} with {_spread(other)}{note}"


def values_text(values: dict[str, Any]) -> str:
    """The values as lines of ``key: value``."""
    return "\n".join(f"  {key}: {_short(value)}" for key, value in values.items())


def _spread(contender: Contender) -> str:
    if not math.isfinite(contender.mean):
        return "none (it diverged on a seed)"
    return f"{contender.mean:.4f} ± {contender.spread:.4f}"


def _row(trial: FrozenTrial, dimensions: Sequence[Dimension]) -> list[str]:
    result = json.loads(trial.user_attrs["result"])
    values = values_of(trial, dimensions)
    cells = [str(trial.number), *(f"{value:.4f}" for value in trial.values)]
    cells.append(str(result["best_epoch"]))
    cells += [escape(_short(values.get(dimension.key, ""))) for dimension in dimensions]
    return [*cells, str(trial.user_attrs.get("name", ""))]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
