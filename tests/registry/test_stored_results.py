from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import settings
from thaw.errors import ThawError
from thaw.registry.artifact_files import ArtifactStoreError
from thaw.registry.model_cards import read_card
from thaw.registry.stored_results import read_result
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from thaw.config.result_sections import Tracking

PREDICTIONS = "path,label,p_cat,p_dog\n1.png,cat,0.75,0.25\n"


def write_reports(folder: Path) -> None:
    path = folder / "reports/evaluate/predictions.csv"
    path.parent.mkdir(parents=True)
    path.write_text(PREDICTIONS)
    (folder / "params.yaml").write_text("seed: 7\n")


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    """A store with version 1 of a model, whose run has reports."""
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    found = settings.PARAMS.tracking.model_copy(update={"uri": uri})
    client, experiment = connect(found)
    run_id = client.create_run(experiment).info.run_id
    client.log_text(run_id, PREDICTIONS, "reports/evaluate/predictions.csv")
    client.log_text(run_id, "seed: 7\n", "pipeline/params.yaml")
    name = found.registered_model
    client.create_registered_model(name)
    client.create_model_version(name, source=str(tmp_path), run_id=run_id)
    client.set_registered_model_alias(name, "champion", "1")
    return found


@pytest.mark.slow
def test_a_version_an_alias_and_a_run_are_read_from_mlflow(tracking: Tracking) -> None:
    client, _ = connect(tracking)
    name = tracking.registered_model
    run_id = client.get_model_version(name, "1").run_id
    for given in ("1", f"models:/{name}/1", f"models:/{name}@champion", str(run_id)):
        found = read_result(given, tracking)
        assert found.paths == ["1.png"]
        assert found.classes == ["cat", "dog"]
        assert found.params == {"seed": "7"}


def test_a_folder_is_read_from_its_reports(tracking: Tracking, tmp_path: Path) -> None:
    write_reports(tmp_path / "other")
    found = read_result(str(tmp_path / "other"), tracking)
    assert found.probabilities.tolist() == [[0.75, 0.25]]


def test_a_folder_whose_name_says_nothing_is_shown_with_its_own(
    tracking: Tracking, tmp_path: Path
) -> None:
    write_reports(tmp_path)
    (tmp_path / "inner").mkdir()
    for given in (".", "./", "inner/.."):
        assert read_result(given, tracking).name == tmp_path.name
    write_reports(tmp_path / "other")
    assert read_result("./other", tracking).name == "./other"


@pytest.mark.slow
def test_a_git_revision_is_read_through_dvc(tracking: Tracking, tmp_path: Path) -> None:
    write_reports(tmp_path)
    names = {
        f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    for command in (
        ["git", "init", "-q"],
        ["dvc", "init", "-q"],
        ["git", "add", "params.yaml", "reports", ".dvc"],
        ["git", "commit", "-qm", "result"],
    ):
        subprocess.run(command, check=True, env={**os.environ, **names})
    (tmp_path / "params.yaml").write_text("seed: 8\n")
    commit = _output(["git", "rev-parse", "HEAD"])
    found = read_result("HEAD", tracking)
    assert found.params == {"seed": "7"}
    assert found.name == f"HEAD ({commit[:7]})"
    assert read_result(commit[:10], tracking).name == commit[:10]
    subprocess.run(["git", "tag", "1234567"], check=True)
    assert read_result("1234567", tracking).params == {"seed": "7"}  # no version has this number
    for name in ("HEAD~9", "nope"):
        with pytest.raises(ThawError, match=rf"^there is no result '{name}' .*give a version"):
            read_result(name, tracking)


def _output(command: list[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_folder_without_predictions_is_refused(tracking: Tracking, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ThawError, match=r"empty has no reports/evaluate/predictions\.csv"):
        read_result(str(Path("empty")), tracking)


def test_a_version_that_does_not_exist_is_refused(tracking: Tracking) -> None:
    with pytest.raises(ThawError, match="9"):
        read_result("9", tracking)


def test_files_of_a_store_that_does_not_answer_are_not_missing(tracking: Tracking) -> None:
    client, _ = connect(tracking)
    away = client.create_experiment("away", artifact_location="mlflow-artifacts://127.0.0.1:9/1")
    run_id = client.create_run(away).info.run_id
    with pytest.raises(ArtifactStoreError, match=rf"of the run {run_id} could not be fetched: "):
        read_result(run_id, tracking)
    name = tracking.registered_model
    client.create_model_version(name, source="away", run_id=run_id)
    with pytest.raises(ArtifactStoreError, match=r"MODEL_CARD\.md of the run .* could not be"):
        read_card(f"models:/{name}/2", lambda: tracking)
