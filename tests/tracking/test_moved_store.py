from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dvc.repo import Repo
from PIL import Image

from tests import settings
from tests.cli.verbs import error, run
from thaw.errors import ThawError
from thaw.registry.ledger import Ledger
from thaw.registry.ledger_rows import Decision
from thaw.tracking.moved_store import relocate
from thaw.tracking.store import connect, connect_read_only

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TRACKING = settings.PARAMS.tracking.model_copy(update={"uri": ""})
DATABASE = Path("mlruns/mlflow.db")
_PLACES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "model_versions": "storage_location",
}


@pytest.fixture
def project(stored: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project's folder with a store, two levels below the test's folder; it is entered."""
    folder = stored / "home" / "project"
    folder.mkdir(parents=True)
    for name in ("params.yaml", "mlruns"):
        Path(name).rename(folder / name)
    monkeypatch.chdir(folder)
    return folder


def fill() -> str:
    """Make a run with an artifact, a version with files, and a row of its history."""
    client, experiment = connect(TRACKING)
    run_id: str = client.create_run(experiment).info.run_id
    client.log_text(run_id, "kept", "note.txt")
    client.create_registered_model("classifier")
    source = client.get_run(run_id).info.artifact_uri
    client.create_model_version("classifier", source, run_id)
    ledger = Ledger(client, "classifier")
    ledger.record(Decision("first", None, 1, None), [])
    return run_id


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``folder`` the working directory, as in a new process."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow writes its address there


def move(project: Path, monkeypatch: pytest.MonkeyPatch, name: str = "new place 50%") -> Path:
    """Move the project and enter it."""
    target = project.parent.parent / name / "project"
    target.parent.mkdir()
    project.rename(target)
    enter(target, monkeypatch)
    return target


def places() -> set[str]:
    """Return all places of artifacts in the database."""
    with closing(sqlite3.connect(DATABASE)) as database:
        return {
            place
            for table, column in _PLACES.items()
            for (place,) in database.execute(f"SELECT {column} FROM {table}")
        }


def note(client: MlflowClient, run_id: str) -> str:
    """Return the text of the run's artifact."""
    return Path(client.download_artifacts(run_id, "note.txt")).read_text()


def test_a_moved_project_works_again_after_thaw_repair(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = fill()
    before = places()
    target = move(project, monkeypatch)
    for use in (connect, connect_read_only):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
        with pytest.raises(ThawError, match=r"was in .* and is in .* run `thaw repair`"):
            use(TRACKING)
    found = relocate(TRACKING)
    assert found is not None
    assert found.origins == [project / "mlruns"]
    assert found.folder == target / "mlruns"
    assert found.changed == {"experiments": 2, "runs": 1, "logged_models": 0, "model_versions": 1}
    assert not found.missing
    assert places() == {
        place.replace(project.as_uri(), target.as_uri()).replace(str(project), str(target))
        for place in before
    }
    client, _ = connect(TRACKING)
    assert note(client, run_id) == "kept"
    assert client.get_model_version_download_uri("classifier", "1").startswith(target.as_uri())
    ledger = Ledger(client, "classifier")
    assert [row.decision.to for row in ledger.rows()] == [1]
    assert not ledger.view().problems


def test_the_database_is_kept_as_it_was_under_a_new_name(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    DATABASE.chmod(0o600)
    before = places()
    for number, name in enumerate(("first", "second", "third")):
        target = move(Path.cwd(), monkeypatch, name)
        found = relocate(TRACKING)
        assert found is not None
        suffix = f"-{number + 1}" if number else ""
        assert found.backup == target / f"mlruns/mlflow.db.before-repair{suffix}"
        assert found.backup.stat().st_mode & 0o777 == 0o600
    shutil.copy("mlruns/mlflow.db.before-repair", DATABASE)
    assert places() == before


def test_a_store_that_was_not_moved_is_not_changed(project: Path) -> None:
    assert relocate(TRACKING) is None  # no experiment yet
    fill()
    content = DATABASE.read_bytes()
    assert relocate(TRACKING) is None
    assert DATABASE.read_bytes() == content
    assert not list(Path("mlruns").glob("*before-repair*"))
    DATABASE.unlink()
    assert relocate(TRACKING) is None
    assert not DATABASE.exists()


def test_a_store_on_a_server_is_not_read() -> None:
    assert relocate(TRACKING.model_copy(update={"uri": "http://127.0.0.1:9"})) is None


def test_places_outside_of_the_earlier_folder_stay(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    client, _ = connect(TRACKING)
    others = [f"{project.as_uri()}/mlruns-2/a", "s3://bucket/a", "/elsewhere/mlruns/7"]
    for number, place in enumerate(others):
        client.create_experiment(f"other {number}", artifact_location=place)
    move(project, monkeypatch)
    assert relocate(TRACKING)
    assert set(others) <= places()


def test_a_store_that_was_moved_twice_is_corrected_from_both_folders(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = fill()
    middle = move(project, monkeypatch, "middle")
    later = TRACKING.model_copy(update={"experiment": "later"})
    connect(later)
    target = move(middle, monkeypatch, "last")
    found = relocate(TRACKING)
    assert found is not None
    assert set(found.origins) == {project / "mlruns", middle / "mlruns"}
    assert note(connect(TRACKING)[0], run_id) == "kept"
    place = connect(later)[0].get_experiment_by_name("later")
    assert place is not None
    assert place.artifact_location == (target / "mlruns/artifacts/later").as_uri()


def test_a_copy_of_a_project_gets_places_of_its_own(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = fill()
    original = places()
    copy = shutil.copytree(project, project.parent / "copy")
    enter(copy, monkeypatch)
    assert relocate(TRACKING)
    client, _ = connect(TRACKING)
    assert str(copy) in str(client.get_run(run_id).info.artifact_uri)
    enter(project, monkeypatch)
    assert places() == original


def test_a_database_without_its_artifacts_is_refused_and_not_changed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    target = project.parent / "target"
    (target / "mlruns").mkdir(parents=True)
    shutil.copy("params.yaml", target)
    DATABASE.rename(target / DATABASE)
    enter(target, monkeypatch)
    before = places()
    with pytest.raises(ThawError, match=r"is still at its old place: move it to .*target/mlruns"):
        relocate(TRACKING)
    shutil.rmtree(project / "mlruns/artifacts")
    with pytest.raises(ThawError, match=r"its 1 model is not"):
        relocate(TRACKING)
    assert places() == before
    assert [path.name for path in Path("mlruns").iterdir() if "db" in path.name] == ["mlflow.db"]


def test_models_whose_files_are_lost_are_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = fill()
    client, _ = connect(TRACKING)
    client.create_model_version("classifier", (project / "mlruns/artifacts/lost").as_uri(), run_id)
    target = move(project, monkeypatch)
    found = relocate(TRACKING)
    assert found is not None
    assert found.missing == [target / "mlruns/artifacts/lost"]


def test_an_old_place_that_cannot_be_read_counts_as_left(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    target = move(project, monkeypatch)
    exists = Path.exists

    def denied(path: Path) -> bool:
        if path.is_relative_to(project):
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", denied)
    found = relocate(TRACKING)
    assert found is not None
    assert found.folder == target / "mlruns"


def test_a_database_that_another_process_writes_is_not_changed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    move(project, monkeypatch)
    monkeypatch.setattr("thaw.tracking.moved_store._PATIENCE", 0.1)
    with closing(sqlite3.connect(DATABASE)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ThawError, match=r"cannot be corrected: database is locked; nothing"):
            relocate(TRACKING)
    assert relocate(TRACKING)


def test_an_experiment_that_was_renamed_in_mlflow_does_not_count_as_moved(project: Path) -> None:
    client, experiment = connect(TRACKING)
    client.rename_experiment(experiment, "renamed")
    renamed = TRACKING.model_copy(update={"experiment": "renamed"})
    assert connect(renamed)[1] == experiment


def test_thaw_repair_tells_what_it_corrected(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    Repo.init(no_scm=True)
    target = move(project, monkeypatch)
    lines = run("repair").splitlines()
    assert lines[1] == f"MLflow's store was in {project}/mlruns"
    assert lines[2].endswith("corrected rows: experiments 2, runs 1, model_versions 1")
    assert lines[3].endswith(f"{target}/mlruns/mlflow.db.before-repair")
    assert run("repair").splitlines() == lines[:1]
    assert json.loads(run("repair", "--json"))["store"] is None
    move(target, monkeypatch, "third")
    store = json.loads(run("repair", "--json"))["store"]
    assert store["origins"] == [f"{target}/mlruns"]
    assert store["changed"]["runs"] == 1


@pytest.mark.usefixtures("tuned")
def test_every_verb_that_needs_the_store_names_the_command(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    move(project, monkeypatch)
    Image.new("RGB", (8, 8)).save("a.png")
    verbs = (
        ["status"], ["history"], ["promote"], ["rollback"], ["ui"],
        ["predict", "models:/classifier@champion", "."],
        ["export", "models:/classifier@champion", "--out", "m.onnx"],
    )  # fmt: skip
    for verb in verbs:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
        assert "run `thaw repair`, which corrects" in error(*verb), verb
