from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.search import project
from thaw.config.loading import load
from thaw.config.params import Params

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project, written once."""
    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        project.make(folder)
    return folder


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> None:
    """An MLflow store in the new folder, for tests that log runs."""
    (tmp_path / "mlruns").mkdir(exist_ok=True)
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")


@pytest.fixture
def params(_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The parameters of a small project in a new folder, which is the current one."""
    shutil.copytree(_template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return load(Params)
