"""Read the aliases and versions of a registered model."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from thaw.errors import ThawError
from thaw.system.repeat_command import registering

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel
    from mlflow.tracking import MlflowClient

_MOST_NAMED = 10  # registered models or versions in a message


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


def is_refused(error: MlflowException) -> bool:
    """Return whether MLflow raised ``error`` because the account has not the permission."""
    return bool(error.error_code == "PERMISSION_DENIED")


def _model(client: MlflowClient, name: str) -> RegisteredModel:
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if not is_missing(error):
            raise
        raise ThawError(f"there is no registered model {name!r}{_instead(client)}") from None


def explain_missing(client: MlflowClient, name: str) -> str:
    """Return what exists in place of a version or alias of ``name`` that does not exist."""
    try:
        model = client.get_registered_model(name)
    except MlflowException:
        return f"there is no registered model {name!r}{_instead(client)}"
    aliases = ", ".join(f"@{alias}" for alias in sorted(model.aliases)) or "no alias"
    return (
        f"there is no such version or alias; {name} has {aliases} and {_versions(client, name)} "
        f"(`thaw status --model {shlex.quote(name)}`)"
    )


def _versions(client: MlflowClient, name: str) -> str:
    """Return the numbers of the versions that exist as a part of a sentence."""
    found = client.search_model_versions(f"name = '{name}'")
    numbers = sorted((int(each.version) for each in found), reverse=True)
    if not numbers:
        return "no version"
    more = f" and {len(numbers) - _MOST_NAMED} earlier ones" if len(numbers) > _MOST_NAMED else ""
    listed = ", ".join(map(str, numbers[:_MOST_NAMED])) + more
    return f"the version{'s' * (len(numbers) > 1)} {listed}"


def _instead(client: MlflowClient) -> str:
    """Return the registered models of the store as the rest of a sentence."""
    names = sorted(creation_times(client))
    if not names:
        return f": no model is registered in this store; {registering()}"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    known = ", ".join(names[:_MOST_NAMED]) + more
    return f": the store has {known}; {registering()}"
