"""Log a model to its run and register it: one run, one version."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from thaw.registry import pyfunc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
CHALLENGER = "challenger"
DIGEST = "thaw.model_digest"
# What loads the model; exact, so that a server computes what was evaluated.
_PACKAGES = ("numpy", "pandas", "pillow", "pydantic", "safetensors", "timm", "torch", "torchvision")


@dataclass(frozen=True)
class Registered:
    """A version in the registry and the alias it was given."""

    name: str
    version: int
    alias: str


def register(
    name: str, folder: Path, digest: str, example: bytes, scores: Mapping[str, float]
) -> Registered:
    """Log the model directory ``folder`` to the active run and register it as ``name``.

    The first version becomes the champion, a later one the challenger. Where the run already
    has a version of these very weights (a run that was killed after it had registered), that one
    is taken. ``example`` is an encoded image, kept as the input example.
    """
    client = MlflowClient()
    run = mlflow.active_run()
    assert run is not None
    found = _existing(client, name, run.info.run_id, digest)
    if found is None:
        info = mlflow.pyfunc.log_model(
            name="model",
            loader_module=pyfunc.__name__,
            data_path=str(folder),
            signature=pyfunc.signature(),
            input_example=pd.DataFrame({pyfunc.INPUT: [base64.b64encode(example).decode()]}),
            pip_requirements=[f"{package}=={version(package)}" for package in ("thaw", *_PACKAGES)],
            tags={DIGEST: digest},
        )
        for key, value in scores.items():
            mlflow.log_metric(f"test/{key}", value, model_id=info.model_id)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        found = client.create_model_version(
            name,
            source=f"models:/{info.model_id}",
            run_id=run.info.run_id,
            model_id=info.model_id,
            tags={DIGEST: digest, **{f"test.{k}": f"{v:.6g}" for k, v in scores.items()}},
        )
    return Registered(name, int(found.version), _give_alias(client, found))


def _existing(client: MlflowClient, name: str, run_id: str, digest: str) -> ModelVersion | None:
    versions = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    return next((mv for mv in versions if mv.tags.get(DIGEST) == digest), None)


def _give_alias(client: MlflowClient, found: ModelVersion) -> str:
    try:
        champion = client.get_model_version_by_alias(found.name, CHAMPION)
    except MlflowException:
        champion = None
    is_first = champion is None and int(found.version) == 1
    if champion is not None and champion.version == found.version:
        return CHAMPION
    alias = CHAMPION if is_first else CHALLENGER
    client.set_registered_model_alias(found.name, alias, str(found.version))
    return alias
