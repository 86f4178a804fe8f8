"""Findings of `thaw doctor` about the MLflow store: whether it answers, and what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.evaluation.last_result import read_last_result
from thaw.projects.finding import Finding, State
from thaw.system.project_paths import REPORTS, SPOOL
from thaw.system.quantities import quantity
from thaw.system.repeat_command import repeat_command
from thaw.tracking import store_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thaw.config.result_sections import Tracking


def store_findings(tracking: Tracking) -> Iterator[Finding]:
    """Yield what the MLflow store of ``tracking`` has of this project, or lacks."""
    try:
        result, damage = read_last_result(REPORTS / "evaluate"), ""
    except ThawError as error:
        result, damage = None, str(error)
    store = store_state.examine(tracking, result.run_id if result else "")
    yield Finding("MLflow", State.OK if store.answers else State.ERROR, store.text)
    if store.dead_runs:
        runs = quantity(store.dead_runs, "run is", "runs are")
        text = f"{runs} RUNNING in MLflow, but no process writes to it any more"
        remedy = "the next `dvc repro` continues such a run, or sets it to KILLED"
        yield Finding("runs", State.WARNING, text, remedy)
    if store.waiting:
        text = (
            f"files below {SPOOL} that wait for the store, or belong to running stages: "
            f"{store.waiting}"
        )
        if store.live_runs:  # `thaw repair` refuses while a stage runs
            yield Finding("spool", State.OK, text)
        else:
            yield Finding("spool", State.WARNING, text, "`thaw repair` delivers them")
    if damage:
        yield Finding("result", State.ERROR, damage)
    elif result and store.answers and not store.has_result:
        text = f"its run {result.run_id} is not in the MLflow store"
        remedy = f"`{repeat_command('evaluate')}` logs and registers it"
        yield Finding("result", State.WARNING, text, remedy)
