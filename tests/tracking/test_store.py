from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from requests import HTTPError, Response

from tests import settings
from thaw.errors import ThawError
from thaw.tracking import store
from thaw.tracking.store_scope import unchanged_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thaw.config.result_sections import Tracking


CREATE = store._create_database  # as it is: conftest.py lets other tests copy a database


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder as the project, without a store in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(store, "_create_database", CREATE)
    with unchanged_store():
        yield tmp_path


def tracking(uri: str = "") -> Tracking:
    return settings.PARAMS.tracking.model_copy(update={"uri": uri})


def test_the_address_is_that_of_params_yaml_then_of_the_environment_then_the_local_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.store_uri(tracking()) == f"sqlite:///{project}/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert store.store_uri(tracking()) == "http://environment"
    assert store.store_uri(tracking("http://params")) == "http://params"


def test_a_temporary_experiment_of_dvc_uses_the_store_of_its_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = project / ".dvc" / "tmp" / "exps" / "abc"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert store.store_uri(tracking()) == f"sqlite:///{project}/mlruns/mlflow.db"


def test_reading_does_not_create_a_store(project: Path) -> None:
    with pytest.raises(
        ThawError, match=r"there is no MLflow store .*: `dvc repro` registers a model"
    ):
        store.connect_read_only(tracking())
    assert not list(project.iterdir())


@pytest.mark.slow
def test_connecting_creates_the_experiment_once(project: Path) -> None:
    client, experiment = store.connect(tracking())
    assert store.connect(tracking())[1] == experiment
    location = client.get_experiment(experiment).artifact_location
    assert location == (project / "mlruns" / "artifacts" / "thaw").as_uri()
    assert not list((project / "mlruns").glob(".*.part"))
    for connect in (store.connect_read_only, store.connect_to_read):
        assert connect(tracking()).get_experiment_by_name("thaw") is not None


class RacedClient(MlflowClient):
    """A client for which another machine creates every experiment a moment earlier."""

    def create_experiment(self, *arguments: Any, **options: Any) -> str:
        MlflowClient(self.tracking_uri).create_experiment(*arguments, **options)
        return super().create_experiment(*arguments, **options)


@pytest.mark.slow
def test_machines_that_create_the_experiment_at_once_share_it(project: Path) -> None:
    client, first = store.connect(tracking())
    raced = RacedClient(client.tracking_uri)
    found = store._experiment_id(raced, "shared", project / "mlruns")
    assert found != first
    assert client.get_experiment(found).name == "shared"
    client.delete_experiment(found)
    with pytest.raises(ThawError, match="'shared' was deleted in MLflow"):
        store._experiment_id(raced, "shared", project / "mlruns")


@pytest.mark.slow
def test_an_experiment_of_another_folder_or_tool_or_a_deleted_one_is_refused(
    project: Path,
) -> None:
    client, experiment = store.connect(tracking())
    client.delete_experiment(experiment)
    with pytest.raises(ThawError, match="'thaw' was deleted in MLflow"):
        store.connect(tracking())
    client.create_experiment("other")
    with pytest.raises(ThawError, match="'other' was not made by thaw"):
        store.connect(tracking().model_copy(update={"experiment": "other"}))
    client.restore_experiment(experiment)
    (project / "mlruns").rename(project / "moved")
    moved = tracking(f"sqlite:///{project}/moved/mlflow.db")
    with pytest.raises(ThawError, match=r"/mlruns and is in .*/moved now.*`thaw repair`"):
        store.connect(moved)


def test_an_error_of_the_store_becomes_one_line_with_its_address() -> None:
    with pytest.raises(ThawError) as caught, store.store_errors("http://server"):
        raise MlflowException("no answer\nfor details see the log")
    assert str(caught.value) == (
        "tracking: the MLflow store http://server cannot be used: no answer"
    )


def test_an_error_of_mlflow_during_a_command_tells_that_the_command_can_be_repeated() -> None:
    message = "http://server failed: no answer; run the same command again: it continues"
    with pytest.raises(ThawError, match=message), store.command_errors(tracking("http://server")):
        raise MlflowException("no answer")


def test_a_value_that_mlflow_refuses_is_not_said_to_be_worth_a_repetition() -> None:
    with pytest.raises(ThawError) as caught, store.command_errors(tracking("http://server")):
        raise MlflowException.invalid_parameter_value("Invalid model name 'a/b'.")
    assert str(caught.value).endswith("http://server failed: Invalid model name 'a/b'.")


@pytest.mark.slow
def test_connecting_selects_the_store_for_mlflow(project: Path) -> None:
    store.connect(tracking())
    assert mlflow.get_tracking_uri() == f"sqlite:///{project}/mlruns/mlflow.db"


def test_a_command_does_not_wait_minutes_for_a_server_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with unchanged_store():
        store.connect_read_only(tracking("http://127.0.0.1:9"))
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"  # the user's own stays


def test_messages_do_not_contain_the_password_of_the_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "")
    uri = "http://ada:open-sesame@127.0.0.1:9"
    with pytest.raises(
        ThawError, match=r"ada:\*\*\*@127\.0\.0\.1:9 cannot be used: Connection refused"
    ) as raised:
        store.connect(tracking(uri))
    assert "open-sesame" not in str(raised.value)
    assert os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "true"
    with pytest.raises(ThawError, match="run the same command again: it cont") as raised:  # noqa: SIM117
        with store.command_errors(tracking(uri)):
            raise MlflowException(f"API request to {uri} failed")
    assert "open-sesame" not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (403, "an account with the permission EDIT on the experiment"),
        (500, "for example) runs; then run the same command again"),
    ],
)
def test_a_file_that_the_server_does_not_store_is_one_line(status: int, expected: str) -> None:
    response = Response()
    response.status_code = status
    side = "Client" if status == 403 else "Server"
    text = f"{status} {side} Error: for url: http://server/api/2.0/mlflow-artifacts/artifacts/1/a"
    with pytest.raises(ThawError) as caught, store.command_errors(tracking("http://server")):
        raise HTTPError(text, response=response)
    assert str(caught.value).endswith(expected)
    assert len(str(caught.value).splitlines()) == 1
