"""Log a model to its run and register it: one run, one version."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import mlflow
import pandas as pd
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from thaw import __version__
from thaw.registry import pyfunc
from thaw.registry.artifact_files import DATA
from thaw.registry.descriptions import OF_MODEL
from thaw.registry.first_alias import give_alias
from thaw.registry.names import (
    CHAMPION,
    CONTENT,
    DIGEST,
    GATE,
    PARENTS,
    TEST_DIGEST,
)
from thaw.registry.requirement_checks import package_files_unlisted
from thaw.registry.same_result import remove_repetitions, source_of, versions_of_result
from thaw.tracking.pending_models import is_being_written
from thaw.tracking.run_owner import PROCESS, this_process

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

# The packages that load the model, beside thaw itself. The versions are exact, so that a server
# computes what was evaluated.
_DISTRIBUTION = "thaw-vision"  # the name of thaw on PyPI
_PACKAGES = ("numpy", "pandas", "pillow", "pydantic", "safetensors", "timm", "torch", "torchvision")


@dataclass(frozen=True)
class ModelRecord:
    """Facts about a model that its registered version records.

    ``digest`` is that of the model directory, ``scores`` are those on the test split with the
    digest ``test_digest``, ``parents`` is the line of models that the model was trained from.
    ``content`` is the digest of what the model computes.
    """

    digest: str
    scores: Mapping[str, float]
    parents: str = ""
    test_digest: str = ""
    content: str = ""

    @property
    def metrics(self) -> dict[str, float]:
        """The scores as metrics of a run."""
        return {f"test/{key}": value for key, value in self.scores.items()}


@dataclass(frozen=True)
class Registered:
    """A version in the registry and the alias that it got.

    ``is_new`` is False if the version is that of an earlier run, which made the same model.
    ``verdict`` is the gate's last answer for the champion, "" if there is none.
    """

    name: str
    version: int
    alias: str
    is_new: bool = True
    verdict: str = ""


def register(
    name: str,
    folder: Path,
    record: ModelRecord,
    example: bytes,
    trusted: Collection[str] = (),
) -> Registered:
    """Log the model directory ``folder`` to the active run and register it as ``name``.

    The first version of a model becomes the champion, a later one the challenger, also if the
    champion or its alias was removed. Every step is done once: the results of an earlier attempt of
    this run are found again, and a model that a killed attempt logged in part is removed. Where two
    machines register the same result of a run at once, the version that was created first stays.

    Args:
        name: the name of the registered model.
        folder: the model directory.
        record: what the version's tags record about the model.
        example: an encoded image, stored as the input example.
        trusted: the public keys that sign decisions. The first version is the champion only if this
            process has the private key of one of them.
    """
    client = MlflowClient()
    run = mlflow.active_run()
    assert run is not None
    models = _models(run)
    _remove_partial(client, models)
    model = _logged(models, record.digest) or _log(folder, record.digest, example)
    _restore_files(client, model, folder)
    logged = {metric.key for metric in model.metrics or []}
    missing = {key: value for key, value in record.metrics.items() if key not in logged}
    mlflow.log_metrics(missing, step=0, model_id=model.model_id)
    tags = {  # in the order in which MLflow's pages list them
        **{f"test.{key}": f"{value:.6g}" for key, value in record.scores.items()},
        PARENTS: record.parents,
        DIGEST: record.digest,
        TEST_DIGEST: record.test_digest,
        **({CONTENT: record.content} if record.content else {}),
    }
    found = _version(client, name, model, tags)
    alias = give_alias(client, found, record.digest, trusted)
    verdict = "" if alias == CHAMPION else found.tags.get(GATE, "")
    return Registered(name, int(found.version), alias, verdict=verdict)


def _logged(models: list[LoggedModel], digest: str) -> LoggedModel | None:
    """Return the one of ``models`` that an earlier attempt logged to its end, or None."""
    same = (model for model in models if model.tags.get(DIGEST) == digest)
    return next((model for model in same if model.status == LoggedModelStatus.READY), None)


def _remove_partial(client: MlflowClient, models: list[LoggedModel]) -> None:
    """Remove models that a killed process logged in part."""
    for model in models:
        is_partial = model.status != LoggedModelStatus.READY and DIGEST in model.tags
        if is_partial and not is_being_written(model):
            client.delete_logged_model(model.model_id)


def _models(run: Run) -> list[LoggedModel]:
    condition = f"source_run_id = '{run.info.run_id}'"
    return mlflow.search_logged_models([run.info.experiment_id], condition, output_format="list")


def _log(folder: Path, digest: str, example: bytes) -> LoggedModel:
    with package_files_unlisted():
        info = mlflow.pyfunc.log_model(
            name="model",
            loader_module=pyfunc.__name__,
            data_path=str(folder),
            signature=pyfunc.signature(),
            input_example=pd.DataFrame({pyfunc.INPUT: [base64.b64encode(example).decode()]}),
            pip_requirements=_requirements(),
            tags={DIGEST: digest, PROCESS: this_process()},
        )
    return mlflow.get_logged_model(info.model_id)


def _restore_files(client: MlflowClient, model: LoggedModel, folder: Path) -> None:
    """Upload the files of ``folder`` again, if some of ``model`` are missing or have other sizes.

    Their contents are compared with the digest before a model is loaded.
    """
    place = f"{DATA}/{folder.name}"
    there = client.list_logged_model_artifacts(model.model_id, place)
    sizes = {each.path.rpartition("/")[2]: each.file_size for each in there}
    if any(sizes.get(path.name) != path.stat().st_size for path in folder.iterdir()):
        client.log_model_artifacts(model.model_id, str(folder), place)


def _requirements() -> list[str]:
    packages = [f"{package}=={version(package)}" for package in _PACKAGES]
    return [f"{_DISTRIBUTION}=={__version__}", *packages]


def _version(
    client: MlflowClient, name: str, model: LoggedModel, tags: dict[str, str]
) -> ModelVersion:
    """Return the version of this result; create it if there is none."""
    run_id, digest = model.source_run_id, tags[DIGEST]
    versions = versions_of_result(client, name, run_id, digest)
    if not versions:
        _create(client, name, model, tags)
        versions = versions_of_result(client, name, run_id, digest)  # also of another machine
    remove_repetitions(client, versions, model.model_id)
    return versions[0]


def create_model(client: MlflowClient, name: str) -> None:
    """Create the registered model ``name``, unless it exists."""
    if not client.search_registered_models(f"name = '{name}'"):
        try:
            client.create_registered_model(name, description=OF_MODEL)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # else another machine was faster
                raise


def _create(client: MlflowClient, name: str, model: LoggedModel, tags: dict[str, str]) -> None:
    create_model(client, name)
    client.create_model_version(
        name,
        source=source_of(model.model_id),
        run_id=model.source_run_id,
        model_id=model.model_id,
        tags=tags,
    )
