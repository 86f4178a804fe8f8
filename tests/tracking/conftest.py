"""A project's folder with an empty MLflow store."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import mlflow
import pytest

from tests.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stored(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory: a project's folder with a store in ``mlruns/``."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    yield tmp_path
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
