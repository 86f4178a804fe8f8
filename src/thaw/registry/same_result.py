"""One version for one result, also if two machines register it at the same time.

Both log the model, find no version, and create one each. Both then keep the version with the lowest
number and the logged model that it was made from.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from thaw.registry.aliases import is_missing
from thaw.registry.names import DIGEST, GATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

_LOGGED = "models:/"  # with the id of a logged model: the source of a version


def source_of(model_id: str) -> str:
    """Return the source of a version that is made from a logged model."""
    return f"{_LOGGED}{model_id}"


def versions_of_result(
    client: MlflowClient, name: str, run_id: str | None, digest: str
) -> list[ModelVersion]:
    """Return the versions of the model with this digest that this run made, the first one first."""
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    same = [version for version in found if version.tags.get(DIGEST) == digest]
    return sorted(same, key=lambda version: int(version.version))


def remove_repetitions(client: MlflowClient, versions: list[ModelVersion], own_model: str) -> None:
    """Delete all but the first of the ``versions`` of one result, and the models of the others.

    A version that has an alias or a gate result stays: it has been used. ``own_model`` is the
    id of the model that this process logged: it is deleted if the first version has another one.
    """
    staying = delete_unused(client, versions[1:])
    used = {str(version.source) for version in (versions[0], *staying)}
    for source in {source_of(own_model), *(str(each.source) for each in versions)} - used:
        with _unless_missing():
            client.delete_logged_model(source.removeprefix(_LOGGED))


def delete_unused(client: MlflowClient, versions: list[ModelVersion]) -> list[ModelVersion]:
    """Delete those of ``versions`` without an alias and a gate result; return the others."""
    staying = []
    for version in versions:
        with _unless_missing():
            current = client.get_model_version(version.name, version.version)
            if current.aliases or GATE in current.tags:
                staying.append(version)
            else:
                client.delete_model_version(version.name, version.version)
    return staying


@contextlib.contextmanager
def _unless_missing() -> Iterator[None]:
    """Ignore that something does not exist: another machine has removed it."""
    try:
        yield
    except MlflowException as error:
        if not is_missing(error):
            raise
