"""One result has one run, one version and no pending model, whatever is killed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlflow.entities import LoggedModelStatus
from mlflow.tracking import MlflowClient

from tests.registry.killed_registration import NAME, evaluate, in_a_process, promote
from tests.registry.served import model_directory
from thaw.promotion.verification import verify
from thaw.registry.aliases import aliases
from thaw.registry.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
# Between the kill points of the suite; the soak takes all of them.
REGISTRATION, PROMOTION = 97, 41

pytestmark = pytest.mark.pipelines


@pytest.fixture
def project(tmp_path: Path, empty_store: Path) -> Path:
    """A project's folder with a store and two models."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/metrics.json").write_text("{}")
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns/mlflow.db")
    for seed in (0, 1):
        model_directory(tmp_path / f"model{seed}", seed)
    return tmp_path


def store(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")


def check(folder: Path, versions: int) -> None:
    """Check that each result has one run, one version and one complete model."""
    client = store(folder)
    found = client.search_model_versions(f"name = '{NAME}'")
    assert sorted(int(version.version) for version in found) == list(range(1, versions + 1))
    experiment = client.get_experiment_by_name("thaw")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_id for run in runs) == sorted(str(one.run_id) for one in found)
    assert {run.info.status for run in runs} == {"FINISHED"}
    models = client.search_logged_models([experiment.experiment_id])
    assert [model.status for model in models] == [LoggedModelStatus.READY] * versions
    assert verify(Ledger(client, NAME)).is_verified


def kill_points(folder: Path, stride: int, *step: object) -> Iterator[int]:
    """Repeat ``step``, killed at one transaction after the other, until it ends by itself."""
    point = 0
    while True:
        kept = folder.with_name(f"{folder.name}-{point}")
        shutil.copytree(folder, kept)
        code = in_a_process(folder, point, *step)
        if code == 0:
            return
        assert code == -9
        yield point
        shutil.rmtree(folder)
        shutil.move(kept, folder)
        point += stride


@pytest.mark.parametrize("stride", [REGISTRATION, pytest.param(1, marks=pytest.mark.soak)])
def test_a_registration_killed_at_any_transaction_is_completed_once(
    project: Path, stride: int
) -> None:
    model = str(project / "model0")
    points = 0
    for _ in kill_points(project, stride, evaluate, model, "data"):
        assert in_a_process(project, None, evaluate, model, "data") == 0
        check(project, versions=1)
        assert aliases(store(project), NAME) == {"champion": 1}
        points += 1
    assert points >= 100 // stride


@pytest.mark.parametrize("stride", [PROMOTION, pytest.param(1, marks=pytest.mark.soak)])
def test_a_promotion_killed_at_any_transaction_is_completed_once(
    project: Path, stride: int
) -> None:
    for seed in (0, 1):
        assert in_a_process(project, None, evaluate, str(project / f"model{seed}"), str(seed)) == 0
    points = 0
    for _ in kill_points(project, stride, promote, 2, str(project / "model1")):
        assert in_a_process(project, None, promote, 2, str(project / "model1")) == 0
        check(project, versions=2)
        assert aliases(store(project), NAME) == {"champion": 2, "previous": 1}
        rows = Ledger(store(project), NAME).rows()
        assert [(row.decision.to, row.state) for row in rows] == [(1, "done"), (2, "done")]
        points += 1
    assert points >= 20 // stride
