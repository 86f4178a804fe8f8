from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.advice import project as small
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.model import directory
from thaw.stages.training_stage import COMMON_SECTIONS, summary, training_stage
from thaw.system import project_paths
from thaw.system.locks import only_process
from thaw.tracking import untracked_models
from thaw.tracking.delivery import deliver_waiting
from thaw.tracking.store import connect
from thaw.training import history
from thaw.training.history import EpochRow
from thaw.training.progress import Progress

NAME = "warmup_head"
SECTIONS = (*COMMON_SECTIONS, NAME)
HISTORY = [
    EpochRow(0, None, 2.0, 0.4, 0.0),
    EpochRow(1, 1.5, 1.0, 0.8, 0.1),
    EpochRow(2, 1.2, 1.1, 0.7, 0.1),
]
PROGRESS = Progress(epoch=2, best_epoch=1, history=HISTORY)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small.make(folder)
        write_values({"tracking.uri": f"sqlite:///{folder}/mlflow.db"})
    return folder


@pytest.fixture(autouse=True)
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny project as the working directory; the tests do not end with their parent."""
    torch.set_num_threads(1)
    monkeypatch.chdir(made)
    monkeypatch.setattr("thaw.stages.training_stage.die_with_parent", lambda: None)


def test_the_summary_of_a_phase_has_its_first_and_its_best_epoch() -> None:
    assert summary(PROGRESS) == {
        "epochs": 2,
        "best_epoch": 1,
        "val_loss": 1.0,
        "val_accuracy": 0.8,
        "start_val_loss": 2.0,
        "start_val_accuracy": 0.4,
    }


def test_a_finished_stage_leaves_its_model_history_and_report_but_no_checkpoint() -> None:
    classifier, spec = directory.load(small.MODELS / "warmup_head")
    with training_stage(NAME, SECTIONS) as stage:
        assert stage.observer.checkpoints is not None
        stage.observer.checkpoints.save((1, 0), {"weight": torch.zeros(2)}, {"epoch": 1})
        saved = stage.save_model(classifier, spec, "affine")
        stage.finish(saved, PROGRESS, {"blocks": [7]})
        assert not stage.observer.checkpoints.folder.exists()
    folder = project_paths.REPORTS / NAME
    assert directory.read_spec(project_paths.MODELS / NAME / "affine").digest == saved.digest
    assert history.read(folder / project_paths.HISTORY) == HISTORY
    report = json.loads((folder / project_paths.REPORT).read_text())
    assert report == {**summary(PROGRESS), "blocks": [7]}


@pytest.mark.slow
def test_a_checkpoint_is_found_by_the_next_start_but_not_under_other_parameters() -> None:
    def latest() -> object:
        with training_stage(NAME, SECTIONS) as stage:
            assert stage.observer.checkpoints is not None
            return stage.observer.checkpoints.latest()

    with training_stage(NAME, SECTIONS) as stage:
        assert stage.observer.checkpoints is not None
        stage.observer.checkpoints.save((1, 0), {"weight": torch.zeros(2)}, {"epoch": 1})
    assert latest() is not None
    write_values({"warmup_head.lr": 0.0123})
    assert latest() is None


def test_a_stage_does_not_run_twice_at_the_same_time() -> None:
    lock = project_paths.SCRATCH / f"{NAME}.lock"
    with (
        only_process(lock, "another process"),
        pytest.raises(ThawError, match=f"the stage {NAME}"),
        training_stage(NAME, SECTIONS),
    ):
        pass


@pytest.fixture
def own(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the project whose MLflow server does not answer, as the working directory.

    Another test may have left epochs that are not delivered yet, where the machine is busy.
    """
    undelivered = shutil.ignore_patterns("spool")
    shutil.copytree(made, tmp_path, dirs_exist_ok=True, ignore=undelivered)
    monkeypatch.chdir(tmp_path)
    write_values({"tracking.uri": "http://127.0.0.1:1"})


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    "values", [{"warmup_head.epochs": 0}, {"warmup_head.fit": "logistic"}], ids=str
)
def test_a_stage_without_epochs_opens_no_mlflow_store_but_notes_its_model(
    values: dict[str, object],
) -> None:
    write_values(values)
    spec = directory.read_spec(small.MODELS / NAME)
    with training_stage(NAME, SECTIONS) as stage:
        stage.finish(spec, PROGRESS, {})
    assert stage.tracked is None
    assert untracked_models.read(NAME) == spec.digest


@pytest.mark.usefixtures("own")
def test_a_stage_trains_without_its_store_and_its_epochs_are_delivered_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    spec = directory.read_spec(small.MODELS / NAME)
    with training_stage(NAME, SECTIONS) as stage:
        for row in HISTORY:
            stage.observer.on_epoch(row)
        stage.finish(spec, PROGRESS, {})
    warnings = capfd.readouterr().err.splitlines()
    assert [line.partition("; ")[2].partition(" in ")[0] for line in warnings[:1]] == [
        "training continues, the epochs are kept"
    ]
    assert len(warnings) == 2
    assert "`thaw repair`, delivers them from .thaw/spool/" in warnings[1]
    write_values({"tracking.uri": f"sqlite:///{tmp_path}/later.db"})
    tracking = load(Params).tracking
    assert [deliver_waiting(tracking), deliver_waiting(tracking)] == [1, 0]
    client, experiment = connect(tracking)
    found = {
        run.info.run_id: client.get_metric_history(run.info.run_id, f"{NAME}/val_loss")
        for run in client.search_runs([experiment], f"tags.`{NAME}.model` = '{spec.digest}'")
    }
    (points,) = found.values()
    assert [(point.step, point.value) for point in points] == [(0, 2.0), (1, 1.0), (2, 1.1)]


@pytest.mark.usefixtures("own")
def test_a_repeated_training_has_a_curve_of_its_own_without_validation(tmp_path: Path) -> None:
    write_values({"tracking.uri": f"sqlite:///{tmp_path}/runs.db"})
    spec = directory.read_spec(small.MODELS / NAME)
    with training_stage(NAME, SECTIONS) as stage:
        own, repeated = stage.observer, stage.repeated_on("all_images")
        for row in HISTORY:
            own.on_epoch(row)
            repeated.on_epoch(row)
        stage.finish(spec, PROGRESS, {})
    assert repeated.choices == own.choices
    assert own.checkpoints is not None
    assert repeated.checkpoints is not None
    assert repeated.checkpoints.folder == own.checkpoints.folder / "all_images"
    client, experiment = connect(load(Params).tracking)
    (run,) = client.search_runs([experiment], f"tags.`{NAME}.model` = '{spec.digest}'")
    curve = client.get_metric_history(run.info.run_id, f"{NAME}_all_images/train_loss")
    assert [point.step for point in curve] == [1, 2]
    names = {name for name in run.data.metrics if name.startswith(f"{NAME}_all_images/")}
    assert names == {f"{NAME}_all_images/train_loss", f"{NAME}_all_images/lr"}


@pytest.mark.usefixtures("own")
def test_a_store_that_refuses_the_parameters_is_found_before_the_stage_trains() -> None:
    write_values({"tracking.uri": "sqlite:///images/mlflow.db/in/a/file"})
    Path("images/mlflow.db").write_text("a file")
    with pytest.raises(ThawError, match="cannot be used"), training_stage(NAME, SECTIONS):
        pytest.fail("the stage started")
