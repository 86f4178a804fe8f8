from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.system.missing_project import explain_missing_project, surrounding_project

if TYPE_CHECKING:
    import pytest


def make_project(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("params.yaml", "thaw.lock"):
        (folder / name).touch()
    return folder


def test_the_nearest_project_around_a_folder_is_found(tmp_path: Path) -> None:
    outer = make_project(tmp_path / "outer")
    inner = make_project(outer / "inner")
    (inner / "models").mkdir()
    assert surrounding_project(inner / "models") == inner
    assert surrounding_project(outer / "data" / "raw") == outer
    assert surrounding_project(tmp_path) is None


def test_a_project_of_dvc_alone_is_not_one_of_thaw(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch()
    assert surrounding_project(tmp_path / "below") is None


def test_the_command_to_change_the_folder_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path / "my flowers")
    (project / "data").mkdir()
    monkeypatch.chdir(project / "data")
    command = str(explain_missing_project(Path())).split("`")[1]
    assert shlex.split(command) == ["cd", str(project)]


def test_a_folder_outside_of_all_projects_gets_every_way_out(tmp_path: Path) -> None:
    assert str(explain_missing_project(tmp_path)).endswith(
        "change to the folder of a project, or create one with `thaw init DIR`"
    )
    assert str(explain_missing_project(tmp_path, is_model_wanted=True)).endswith(
        "change to the folder of a project, create one with `thaw init DIR`, or set "
        "MLFLOW_TRACKING_URI to the address of the registry"
    )
