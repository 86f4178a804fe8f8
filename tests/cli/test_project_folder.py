from __future__ import annotations

import os
from pathlib import Path

import pytest

from thaw.cli.project_folder import load_params, require_project
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.errors import ThawError


def test_the_parameters_of_the_working_directory_are_loaded(project: Path) -> None:
    require_project()
    assert load_params() == load(Params, project / "params.yaml")


def test_a_folder_without_parameters_is_not_a_project(project: Path) -> None:
    Path("params.yaml").unlink()
    with pytest.raises(ThawError, match="is not a project of thaw"):
        load_params()


def test_a_project_in_a_folder_whose_name_is_no_text_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = project.rename(project.with_name(os.fsdecode(b"caf\xe9")))
    monkeypatch.chdir(moved)
    with pytest.raises(ThawError, match=r"caf\\udce9"):
        load_params()
