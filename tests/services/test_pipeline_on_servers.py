from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.services import colleague

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.conftest import Servers

pytestmark = pytest.mark.services

_STORED = """
import sys, mlflow
client = mlflow.MlflowClient()
experiment = client.get_experiment_by_name("colours")
print(experiment.artifact_location)
for run in client.search_runs([experiment.experiment_id]):
    print(run.data.to_dictionary(), run.info.to_proto())
    mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=sys.argv[1])
"""


def test_a_project_uses_servers_that_only_environment_variables_name(
    servers: Servers, photos: Path, tmp_path: Path
) -> None:
    project = colleague.new_project(tmp_path / "colours", photos, servers.variables)
    project.run("dvc", "repro")
    project.commit("first")
    assert "Data and pipelines are up to date" in project.run("dvc", "status")
    assert "@champion" in project.run("thaw", "status")
    assert any(key.endswith("model.safetensors") for key in servers.store.keys("mlflow-artifacts"))

    project.set(warmup_head__lr=0.02)
    project.commit("faster")
    assert "as @challenger" in project.run("dvc", "repro")
    project.commit("second")
    project.run("thaw", "promote", "--force", "--reason", "60 images are too few for the gate")
    table = tmp_path / "predicted.csv"
    project.run("thaw", "predict", "models:/colours@champion", str(photos), "--out", str(table))
    assert len(table.read_text().splitlines()) == 1 + 60
    project.run("thaw", "rollback", "--reason", "to try it")
    history = project.run("thaw", "history")
    assert "60 images" in " ".join(history.split())
    assert "to try it" in " ".join(history.split())

    copied = tmp_path / "runs"
    project.run(sys.executable, "-c", _STORED, str(copied))
    assert not any(secret in project.output for secret in servers.secrets)
    assert (copied / "pipeline" / "dvc.lock").exists()
    assert colleague.files_with(servers.secrets, project.folder, copied) == []
    assert not list(project.folder.glob("mlruns/*.db"))
