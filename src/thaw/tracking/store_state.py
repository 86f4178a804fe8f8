"""The state of a project's MLflow store, for `thaw doctor`. Nothing is created or changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.entities import ViewType

from thaw.errors import ThawError
from thaw.system.quantities import quantity
from thaw.system.sqlite_addresses import is_sqlite, path_of
from thaw.tracking import run_owner, spool
from thaw.tracking.store import connect_read_only, store_errors, store_uri

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from thaw.config.result_sections import Tracking


@dataclass(frozen=True)
class StoreState:
    """State of the store: its answer, and the runs and files that wait.

    Attributes:
        answers: Whether the store can be read, or will be created by the first run.
        text: The number of runs, or the reason why it does not answer.
        live_runs: Runs whose processes exist.
        dead_runs: Runs that MLflow holds as RUNNING although their processes ended.
        waiting: Files that wait on the disk for the store.
        has_result: Whether the store has the run that was asked for, and it is not deleted.
    """

    answers: bool
    text: str
    live_runs: int = 0
    dead_runs: int = 0
    waiting: int = 0
    has_result: bool = False


def _experiments(client: MlflowClient, tracking: Tracking) -> list[str]:
    """Return the id of the experiment of ``tracking`` in a list, which is empty without it."""
    experiment = client.get_experiment_by_name(tracking.experiment)
    return [experiment.experiment_id] if experiment else []


def examine(tracking: Tracking, result: str = "") -> StoreState:
    """Return the state of the store of ``tracking``; ``result`` is the id of a run to look for.

    The store is opened once: that takes seconds where it is slow or far away.
    """
    waiting = len(spool.waiting())
    uri = store_uri(tracking)
    if is_sqlite(uri) and not path_of(uri).exists():
        return StoreState(answers=True, text="the first run creates it", waiting=waiting)
    try:
        client = connect_read_only(tracking)
        with store_errors(uri):
            ids = _experiments(client, tracking)
            running = client.search_runs(ids, "attributes.status = 'RUNNING'", ViewType.ACTIVE_ONLY)
            found = client.search_runs(ids, f"run_id = '{result}'") if result else []
    except ThawError as error:
        return StoreState(answers=False, text=str(error), waiting=waiting)
    dead = sum(run_owner.is_dead(run.data.tags) for run in running)
    live = len(running) - dead
    runs = f"{quantity(live, 'run')} of the experiment {tracking.experiment}"
    text = f"answers; {runs} {'is' if live == 1 else 'are'} active now"
    return StoreState(
        answers=True,
        text=text,
        live_runs=live,
        dead_runs=dead,
        waiting=waiting,
        has_result=bool(found),
    )
