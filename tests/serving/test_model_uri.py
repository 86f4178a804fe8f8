from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.errors import ThawError
from thaw.serving.model_uri import local_model, registry_settings, resolve_version

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_registered_model_is_fetched_and_deleted_afterwards(registry: list[str]) -> None:
    with local_model("models:/dev@champion") as found:
        assert found.name == "models:/dev/1"
        assert found.folder.is_dir()
    assert not found.folder.exists()
    assert resolve_version("models:/dev@champion") == "models:/dev/1"


def test_the_version_of_a_model_directory_is_its_digest(model: Path) -> None:
    with local_model(str(model)) as found:
        assert found.folder == model
    assert len(resolve_version(str(model))) == 64


def test_without_a_registry_the_message_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ThawError, match="or set MLFLOW_TRACKING_URI"):
        registry_settings()


def test_a_folder_that_does_not_exist_is_not_a_model() -> None:
    with pytest.raises(ThawError, match="nothing is not a model: give models:/NAME@ALIAS"):
        local_model("nothing").__enter__()


def test_a_folder_that_does_not_exist_is_answered_alike_by_each_verb(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(ThawError, match="is not a model: give models:/NAME@ALIAS"):
        resolve_version(missing)
    with (
        pytest.raises(ThawError, match="is not a model: give models:/NAME@ALIAS"),
        local_model(missing),
    ):
        pass
