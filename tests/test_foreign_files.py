"""DVC removes no file of the user that lies in the outputs of a stage which refuses to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from tests import tiny
from tests.project import Project
from tests.user_files import assert_kept, plant

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project with a folder of 36 images and a tiny network."""
    project = Project(tmp_path)
    tiny.set_up(project)
    return project


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
