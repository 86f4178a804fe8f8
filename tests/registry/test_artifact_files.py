from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    TEMPORARILY_UNAVAILABLE,
)

from tests.promotion.moves import versions
from thaw.errors import ThawError
from thaw.registry import pyfunc
from thaw.registry.artifact_check import ChangedArtifactError, check_artifact
from thaw.registry.artifact_files import (
    LOADER,
    ArtifactStoreError,
    _is_about_the_files,
    download_artifact,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.promotion.offered import Shop

NAME = "artifact-files"


@pytest.fixture(scope="module")
def artifact_folder(local: Shop) -> Path:
    versions(local, NAME, 1)
    uri = local.client.get_model_version_download_uri(NAME, "1")
    return Path(mlflow.artifacts.download_artifacts(uri))  # a local store's own folder


@pytest.fixture
def artifact(artifact_folder: Path, tmp_path: Path) -> Iterator[Path]:
    """The stored artifact, put back afterwards."""
    kept = shutil.copytree(artifact_folder, tmp_path / "kept")
    yield artifact_folder
    shutil.rmtree(artifact_folder)
    shutil.copytree(kept, artifact_folder)


def test_the_loader_that_is_allowed_is_the_one_of_thaw() -> None:
    assert pyfunc.__name__ == LOADER


def test_the_files_of_a_registered_model_are_downloaded(
    local: Shop, artifact: Path, tmp_path: Path
) -> None:
    folder = download_artifact(local.client, NAME, 1, tmp_path / "to")
    (stored,) = artifact.glob("data/*")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in stored.iterdir()
    }


@pytest.mark.slow
def test_an_object_store_that_does_not_answer_is_one_line(
    local: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("boto3")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    local.client.create_registered_model("in-s3")
    local.client.create_model_version("in-s3", "s3://bucket/model")
    with pytest.raises(ThawError) as raised:
        download_artifact(local.client, "in-s3", 1, tmp_path)
    start = "models:/in-s3/1 could not be fetched: Could not connect to the endpoint URL"
    assert str(raised.value).startswith(start)
    assert "\n" not in str(raised.value)
    with pytest.raises(ArtifactStoreError):  # and not that the model was changed
        check_artifact(local.client, "in-s3", 1, "0" * 64)


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("mlflow-artifacts://127.0.0.1:9/1/models/m/artifacts", ArtifactStoreError),
        ("file:///nowhere/artifacts", ChangedArtifactError),
    ],
)
def test_files_that_are_gone_are_a_changed_model_and_a_silent_server_is_not(
    local: Shop, monkeypatch: pytest.MonkeyPatch, location: str, seen: type[ThawError]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    name = f"kept-{seen.__name__}"
    local.client.create_registered_model(name)
    local.client.create_model_version(name, location)
    with pytest.raises(ThawError) as raised:
        check_artifact(local.client, name, 1, "0" * 64)
    assert type(raised.value) is seen
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "is_known"),
    [
        (PermissionError(13, "denied"), False),
        (MlflowException("no", error_code=PERMISSION_DENIED), False),
        (MlflowException("busy", error_code=TEMPORARILY_UNAVAILABLE), False),
        (MlflowException("odd", error_code=INVALID_PARAMETER_VALUE), True),
        (FileNotFoundError(2, "gone"), True),
        (RuntimeError("of an object store"), False),
    ],
)
def test_only_an_error_about_the_files_says_that_a_model_was_changed(
    error: Exception, is_known: bool
) -> None:
    assert _is_about_the_files(error) is is_known


def _replaced(path: Path, replace: Callable[[Path], object]) -> None:
    path.unlink()
    replace(path)


def _nested(artifact: Path) -> None:
    (artifact / "MLmodel").write_text("flavors: " + "[" * 16_000)


def _nested_maps(artifact: Path) -> None:
    (artifact / "MLmodel").write_text("{a: " * 4_000)


def _large(artifact: Path) -> None:
    keys = "".join(f"key{number}: 1\n" for number in range(200_000))
    (artifact / "MLmodel").write_text(keys)


def _data_file(artifact: Path) -> None:
    shutil.rmtree(artifact / "data")
    (artifact / "data").write_text("x")


def _two_models(artifact: Path) -> None:
    (folder,) = artifact.glob("data/*")
    shutil.copytree(folder, artifact / "data/second")


CHANGES: dict[str, Callable[[Path], object]] = {
    "file in the root": lambda a: (a / "evil.py").write_text("x"),
    "hidden file in the root": lambda a: (a / ".env").write_text("x"),
    "folder in the root": lambda a: (a / "code").mkdir(),
    "link in the root": lambda a: (a / "conda.yaml.bak").symlink_to("/etc/passwd"),
    "pipe instead of a file": lambda a: _replaced(a / "conda.yaml", os.mkfifo),
    "link instead of a file": lambda a: _replaced(
        a / "conda.yaml", lambda path: path.symlink_to("/dev/zero")
    ),
    "link to nothing": lambda a: _replaced(
        a / "conda.yaml", lambda path: path.symlink_to(a / "gone")
    ),
    "folder instead of a file": lambda a: _replaced(a / "MLmodel", Path.mkdir),
    "file instead of a folder": _data_file,
    "no data": lambda a: shutil.rmtree(a / "data"),
    "two models": _two_models,
    "nested MLmodel": _nested,
    "nested maps": _nested_maps,
    "200,000 keys": _large,
    "binary MLmodel": lambda a: (a / "MLmodel").write_bytes(bytes(range(256))),
    "MLmodel that is a list": lambda a: (a / "MLmodel").write_text("[1, 2]"),
    "MLmodel with a huge number": lambda a: (a / "MLmodel").write_text(f"flavors: {'9' * 9999}"),
    "MLmodel with odd flavors": lambda a: (a / "MLmodel").write_text(
        "flavors: {1: 2, [3]: 4, python_function: {loader_module: [5], data: 6, code: 7}}"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_artifact_with_anything_else_is_refused_in_one_line_at_once(
    change: str, local: Shop, artifact: Path, tmp_path: Path
) -> None:
    CHANGES[change](artifact)
    begun = time.process_time()
    with pytest.raises(ThawError) as refused:
        download_artifact(local.client, NAME, 1, tmp_path / "to")
    assert time.process_time() - begun < 1
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_version_whose_files_were_moved_is_answered_with_their_place(
    local: Shop, artifact: Path, tmp_path: Path
) -> None:
    artifact.rename(tmp_path / "elsewhere")
    artifact.mkdir()
    with pytest.raises(ThawError, match=rf"its files are not at .*{artifact.parent.name}.*moved"):
        download_artifact(local.client, NAME, 1, tmp_path / "to")
