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

from thaw.registry import pyfunc
from thaw.registry.names import CHALLENGER, CHAMPION, DIGEST, FIRST, GATE, PARENTS, TEST_DIGEST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

# What loads the model; exact, so that a server computes what was evaluated. Thaw itself is not
# among them: on PyPI that name belongs to another project.
_PACKAGES = ("numpy", "pandas", "pillow", "pydantic", "safetensors", "timm", "torch", "torchvision")


@dataclass(frozen=True)
class Registered:
    """A version in the registry and the alias it was given."""

    name: str
    version: int
    alias: str


def register(
    name: str,
    folder: Path,
    digest: str,
    example: bytes,
    scores: Mapping[str, float],
    parents: str = "",
    test_digest: str = "",
) -> Registered:
    """Log the model directory ``folder`` to the active run and register it as ``name``.

    The first version becomes the champion, a later one the challenger. Every step is taken once:
    what an earlier, killed try of this run has done already is found again. ``digest`` is the
    model directory's; ``example`` is an encoded image, kept as the input example; ``parents`` the
    line of models it came from; ``test_digest`` names the test split of the scores.
    """
    client = MlflowClient()
    run = mlflow.active_run()
    assert run is not None
    model = _logged(run, digest) or _log(folder, digest, example)
    there = {metric.key for metric in model.metrics or []}
    metrics = {f"test/{key}": value for key, value in scores.items()}
    missing = {key: value for key, value in metrics.items() if key not in there}
    mlflow.log_metrics(missing, step=0, model_id=model.model_id)
    tags = {
        DIGEST: digest,
        PARENTS: parents,
        TEST_DIGEST: test_digest,
        **{f"test.{key}": f"{value:.6g}" for key, value in scores.items()},
    }
    found = _version(client, name, model) or _create(client, name, model, tags)
    return Registered(name, int(found.version), _give_alias(client, found))


def _logged(run: Run, digest: str) -> LoggedModel | None:
    """The model that an earlier try of this run logged."""
    models = mlflow.search_logged_models(
        [run.info.experiment_id],
        f"source_run_id = '{run.info.run_id}' AND tags.`{DIGEST}` = '{digest}'",
        output_format="list",
    )
    return next((model for model in models if model.status == LoggedModelStatus.READY), None)


def _log(folder: Path, digest: str, example: bytes) -> LoggedModel:
    info = mlflow.pyfunc.log_model(
        name="model",
        loader_module=pyfunc.__name__,
        data_path=str(folder),
        signature=pyfunc.signature(),
        input_example=pd.DataFrame({pyfunc.INPUT: [base64.b64encode(example).decode()]}),
        pip_requirements=[f"{package}=={version(package)}" for package in _PACKAGES],
        tags={DIGEST: digest},
    )
    return mlflow.get_logged_model(info.model_id)


def _version(client: MlflowClient, name: str, model: LoggedModel) -> ModelVersion | None:
    """The version that an earlier try made of ``model``."""
    found = client.search_model_versions(f"name = '{name}' and run_id = '{model.source_run_id}'")
    return next((mv for mv in found if mv.source == _source(model)), None)


def _create(
    client: MlflowClient, name: str, model: LoggedModel, tags: dict[str, str]
) -> ModelVersion:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    return client.create_model_version(
        name,
        source=_source(model),
        run_id=model.source_run_id,
        model_id=model.model_id,
        tags=tags,
    )


def _source(model: LoggedModel) -> str:
    return f"models:/{model.model_id}"


def _give_alias(client: MlflowClient, found: ModelVersion) -> str:
    try:
        champion = client.get_model_version_by_alias(found.name, CHAMPION)
    except MlflowException:
        champion = None
    is_first = champion is None and int(found.version) == 1
    if champion is not None and int(champion.version) == int(found.version):
        return CHAMPION
    alias = CHAMPION if is_first else CHALLENGER
    if is_first:  # somebody must be: what came after it went through the gate
        client.set_model_version_tag(found.name, str(found.version), GATE, FIRST)
    client.set_registered_model_alias(found.name, alias, str(found.version))
    return alias
