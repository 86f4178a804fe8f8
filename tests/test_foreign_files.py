"""DVC and the stages remove no file of the user, wherever it lies in the outputs of a project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import MlflowClient
from ruamel.yaml import YAML

from tests import tiny
from tests.cli.verbs import run
from tests.project import Project
from thaw.system.project_paths import MODELS, PREPARED, REPORTS
from thaw.system.stage_names import STAGES, TRAINING_STAGES

if TYPE_CHECKING:
    from pathlib import Path

OUTPUTS = (
    PREPARED,
    *(MODELS / stage for stage in TRAINING_STAGES),
    MODELS / "fold_bn/affine",
    MODELS / "fold_bn/merged",
    *(REPORTS / stage for stage in STAGES),
    REPORTS / "evaluate/plots",
)
NAMES = ("mine.pth", "notes.txt", "mine/a.png", "digits/3/0003.png", "images.raw")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project with a folder of 36 images and a tiny network."""
    project = Project(tmp_path)
    tiny.set_up(project)
    return project


def plant(folder: Path) -> dict[Path, str]:
    """Write files of the user into every output folder; return their contents."""
    written = {}
    for output in OUTPUTS:
        for name in NAMES:
            path = folder / output / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"of the user: {output} {name}")
            written[path] = path.read_text()
    return written


def assert_kept(files: dict[Path, str]) -> None:
    assert {path: path.read_text() for path in files if path.is_file()} == files


@pytest.mark.slow
def test_every_stage_and_every_checkout_leaves_files_of_the_user_in_its_outputs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = plant(project.folder)
    project.run("dvc", "repro")
    assert_kept(files)
    monkeypatch.chdir(project.folder)
    run("check")
    before = project.digests()
    assert len(before) >= 15
    assert json.loads(project.run("dvc", "status", "--json")) == {}  # they are no reason to run
    project.set(seed=1)
    project.run("dvc", "repro", "prepare")
    project.set(seed=0)
    (project.folder / "models/unfreeze/model.json").unlink()
    output = project.run("dvc", "repro")
    assert "exec thaw stage" not in output  # all come from the run cache
    assert_kept(files)
    assert project.digests() == before
    registered = list(project.folder.glob("mlruns/artifacts/**/merged/*"))
    assert sorted(path.name for path in registered) == ["model.json", "model.safetensors"]
    assert_only_later_stages_run_after_a_change_of_unfreeze(project)
    project.run("dvc", "checkout", "--force")
    assert_kept(files)


def assert_only_later_stages_run_after_a_change_of_unfreeze(project: Project) -> None:
    project.set(unfreeze__lr=0.0005)
    output = project.run("dvc", "repro")
    for stage in ("prepare", "warmup_head"):
        assert f"Stage '{stage}' didn't change, skipping" in output
    assert "Running stage 'unfreeze'" in output
    client = MlflowClient(f"sqlite:///{project.folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("thaw")
    assert experiment is not None
    first, second = client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])
    assert second.data.params["unfreeze.lr"] == "0.0005"
    # The curve of the skipped stage is copied, with a tag that names the run which computed it.
    assert second.data.tags["warmup_head.copied_from"] == first.info.run_id
    assert second.data.metrics["warmup_head/val_loss"] == first.data.metrics["warmup_head/val_loss"]
    for alias, made in (("champion", first), ("challenger", second)):
        assert client.get_model_version_by_alias("classifier", alias).run_id == made.info.run_id


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "key", "path"),
    [
        ("prepare", "data__path", "data/prepared/mine"),
        ("unfreeze", "data__path", "models/unfreeze/raw"),
        ("warmup_head", "backbone__weights", "models/warmup_head/mine.pth"),
        ("evaluate", "data__path", "reports/evaluate/plots/mine"),
    ],
)
def test_dvc_removes_no_input_before_the_stage_refuses_it(
    project: Project, stage: str, key: str, path: str
) -> None:
    files = plant(project.folder)
    tiny.images(project.folder / "models/unfreeze/raw")
    project.set(**{key: path})
    stages = YAML(typ="safe").load(project.folder / "dvc.yaml")["stages"]
    for needed in stages[stage]["deps"]:  # of earlier stages
        if "$" not in needed:
            (project.folder / needed).parent.mkdir(parents=True, exist_ok=True)
            (project.folder / needed).touch()
    output = project.run("dvc", "repro", "--single-item", stage, code=255)
    assert f"{key.replace('__', '.')}: {path} is inside" in output
    assert_kept(files)
    assert len(list(project.folder.glob("models/unfreeze/raw/*/*.png"))) == 36
