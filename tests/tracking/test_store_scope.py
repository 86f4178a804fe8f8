from __future__ import annotations

import os
from pathlib import Path

import mlflow
import pytest

from tests import settings
from thaw.tracking.store_scope import unchanged_store, with_absolute_uri

VARIABLE = "MLFLOW_TRACKING_URI"
FOLDER = Path("/projects/flowers")


@pytest.mark.parametrize(
    ("uri", "environment", "expected"),
    [
        ("", "", "sqlite:////projects/flowers/mlruns/mlflow.db"),
        ("", "http://server", "http://server"),
        ("sqlite:///a.db", "http://server", "sqlite:////projects/flowers/a.db"),
        ("sqlite:////data/a.db", "", "sqlite:////data/a.db"),
    ],
)
def test_a_uri_means_the_same_from_any_working_directory(
    uri: str, environment: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, environment)
    tracking = settings.PARAMS.tracking.model_copy(update={"uri": uri})
    assert with_absolute_uri(tracking, FOLDER).uri == expected


@pytest.mark.parametrize("before", [None, "sqlite:///before.db"])
def test_mlflow_has_the_same_store_afterwards(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    mlflow.set_tracking_uri(before)  # type: ignore[arg-type]
    variable = os.environ.get(VARIABLE)
    with unchanged_store():
        mlflow.set_tracking_uri("sqlite:///inside.db")
        assert os.environ[VARIABLE] == "sqlite:///inside.db"
    assert os.environ.get(VARIABLE) == variable
    assert mlflow.is_tracking_uri_set() == (before is not None)  # type: ignore[no-untyped-call]
