"""Read the aliases and versions of a registered model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from thaw.errors import ThawError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel
    from mlflow.tracking import MlflowClient


def aliases(client: MlflowClient, name: str) -> dict[str, int]:
    """Return the version of each alias of the registered model ``name``.

    Raises:
        ThawError: there is no such model.
    """
    return {alias: int(number) for alias, number in _model(client, name).aliases.items()}


def creation_time(client: MlflowClient, name: str) -> int:
    """Return the creation timestamp (ms) of a registered model.

    It distinguishes the model from earlier models of this name, which were deleted.

    Raises:
        ThawError: there is no such model.
    """
    return int(_model(client, name).creation_timestamp or 0)


def model_created_at(client: MlflowClient, created: int) -> str:
    """Return the name of the registered model with this creation timestamp (ms), "" if none."""
    found = creation_times(client)
    return next((name for name, time in found.items() if time == created), "")


def creation_times(client: MlflowClient) -> dict[str, int]:
    """Return the creation timestamp (ms) of each registered model."""
    found: dict[str, int] = {}
    token = None
    while True:
        page = client.search_registered_models(max_results=500, page_token=token)
        found |= {str(model.name): int(model.creation_timestamp or 0) for model in page}
        token = page.token
        if not token:
            return found


def version_exists(client: MlflowClient, name: str, number: int) -> bool:
    """Return whether the version is still in the registry."""
    try:
        client.get_model_version(name, str(number))
    except MlflowException as error:
        if not is_missing(error):
            raise
        return False
    return True


def is_missing(error: MlflowException) -> bool:
    """Return whether MLflow raised ``error`` because something does not exist."""
    return bool(error.error_code == "RESOURCE_DOES_NOT_EXIST")


def _model(client: MlflowClient, name: str) -> RegisteredModel:
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if not is_missing(error):
            raise
        raise ThawError(f"there is no registered model {name!r}: run `dvc repro` first") from None
