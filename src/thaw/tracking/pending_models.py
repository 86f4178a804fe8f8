"""Remove models that killed processes logged in part.

MLflow keeps such a model in the state PENDING, without files or with some of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException

from thaw.tracking.run_owner import PROCESS, is_another_at_work, is_dead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.entities import LoggedModel
    from mlflow.tracking import MlflowClient

# MLflow compares with the number that it stores, not with the name.
_PENDING = f"status = {LoggedModelStatus.PENDING.to_int()}"


def remove_pending_models(client: MlflowClient, experiment_id: str, own_run: str) -> None:
    """Delete the pending models of runs of this experiment that no process is writing.

    ``own_run`` is the run of this process, which is not registering a model now.
    """
    for model in _pending(client, experiment_id):
        if is_being_written(model):
            continue
        is_named = PROCESS in model.tags  # those of earlier versions name no process
        if is_named or model.source_run_id == own_run or _is_left(client, model.source_run_id):
            client.delete_logged_model(model.model_id)


def is_being_written(model: LoggedModel) -> bool:
    """Return whether another process may be writing this pending model.

    Two machines that have made the same result share its run. The tag ``PROCESS`` of a model names
    the process that logs it.
    """
    return is_another_at_work(model.tags, model.creation_timestamp)


def _pending(client: MlflowClient, experiment_id: str) -> Iterator[LoggedModel]:
    try:
        yield from _search(client, experiment_id, _PENDING)
    except MlflowException as error:
        # MLflow passes the number as a text, which PostgreSQL does not compare with its column.
        if error.error_code != "BAD_REQUEST":
            raise
        models = _search(client, experiment_id, None)
        yield from (model for model in models if model.status == LoggedModelStatus.PENDING)


def _search(
    client: MlflowClient, experiment_id: str, condition: str | None
) -> Iterator[LoggedModel]:
    token = None
    while True:
        page = client.search_logged_models([experiment_id], condition, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _is_left(client: MlflowClient, run_id: str | None) -> bool:
    """Return whether the run ended, was deleted, or belongs to a process that ended."""
    try:
        run = client.get_run(run_id) if run_id else None
    except MlflowException as error:
        if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            raise  # the store failed, which says nothing about the run
        return True
    if run is None or run.info.lifecycle_stage != "active":
        return True
    return run.info.status != "RUNNING" or is_dead(run.data.tags)
