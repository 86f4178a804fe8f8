"""Each fault of a server gives one line with its address and a remedy, without its password."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from mlflow.exceptions import MlflowException

from tests import settings
from tests.tracking.faulty_server import ANSWERS, SILENCE, faulty_server
from thaw.errors import ThawError
from thaw.registry.fetch import resolve
from thaw.tracking import store
from thaw.tracking.live_run import LiveRun
from thaw.tracking.outages import StoreOutageError
from thaw.tracking.spool import waiting
from thaw.tracking.store_failures import reason_of
from thaw.training.history import EpochRow

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.params import Params

ACCOUNT = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
ADDRESS = "tracking.uri or MLFLOW_TRACKING_URI"
LATER = "run the same command later"
REFUSED = ("401", "403", "404")  # what time does not change
REASONS = {
    "401 in HTML": f"the server refuses the account: set {ACCOUNT} to one that it has",
    "401 in JSON": f"UNAUTHENTICATED: as MLflow says it; set {ACCOUNT} to an account of the server",
    "403 in HTML": f"with 403: set {ACCOUNT} to an account with the permission",
    "403 in JSON": f"says it; set {ACCOUNT} to an account with the permission",
    "403 for its name": f"add the host to its --allowed-hosts, or correct the address ({ADDRESS})",
    "404 in HTML": f"it answers with 404: correct it ({ADDRESS})",
    "404 in JSON": f"ENDPOINT_NOT_FOUND: as MLflow says it; correct the address ({ADDRESS})",
    "429": f"the server answers with 429, too many requests: {LATER}",
    "500": f"the server answers with the error 500: look at its log, and {LATER}",
    "502": f"the server answers with the error 502: look at its log, and {LATER}",
    "503": f"the server answers with the error 503: look at its log, and {LATER}",
    "JSON cut": "its answers are not those of MLflow",
    "body cut": f"the connection ended inside of an answer: look at its log, and {LATER}",
    "no HTTP": f"it does not answer by HTTP: correct the address ({ADDRESS})",
    "bytes": f"it does not answer by HTTP: correct the address ({ADDRESS})",
    "redirect to itself": "it redirects in a circle",
    "redirect to https": "TLS fails ([SSL: WRONG_VERSION_NUMBER] wrong version number",
    "redirect to a closed port": f"Connection refused (start it, or correct {ADDRESS})",
    "redirect to nowhere": "it redirects to no address (302)",
    "closed at once": f"it closes the connection without an answer: look at its log, and {LATER}",
    SILENCE: f"it does not answer in time (start it, or correct {ADDRESS})",
}
OTHERS = f"its answers are not those of MLflow: correct the address ({ADDRESS}), or the proxy"


@pytest.fixture(autouse=True)
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter an empty folder, in which MLflow asks a server once, for a second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def params(uri: str) -> Params:
    tracking = settings.PARAMS.tracking.model_copy(update={"uri": uri})
    return settings.PARAMS.model_copy(update={"tracking": tracking})


def reason(kind: str) -> str:
    return REASONS.get(kind) or REASONS.get(kind.split()[0]) or OTHERS


def check(message: str, kind: str) -> None:
    assert reason(kind) in message
    assert "http://ada:***@127.0.0.1:" in message
    assert "open-sesame" not in message
    assert len(message.splitlines()) == 1
    assert len(message) < 400


@pytest.mark.parametrize("kind", [*ANSWERS, SILENCE])
def test_a_faulty_server_gives_one_line_with_its_address_and_a_remedy(kind: str) -> None:
    with faulty_server(kind) as uri, pytest.raises(ThawError) as caught:
        store.connect(params(uri).tracking)
    check(str(caught.value), kind)
    assert isinstance(caught.value, StoreOutageError) is not kind.startswith(REFUSED)


@pytest.mark.parametrize("kind", [*ANSWERS, SILENCE])
@pytest.mark.parametrize("name", ["models:/a@champion", "models:/a/1"])
def test_a_model_in_a_faulty_registry_is_not_said_to_be_missing(kind: str, name: str) -> None:
    with faulty_server(kind) as uri, pytest.raises(ThawError) as caught:
        resolve(name, params(uri).tracking)
    check(str(caught.value), kind)
    assert str(caught.value).startswith(f"{name}: the MLflow store http://")


@pytest.mark.parametrize("kind", [*ANSWERS, SILENCE])
def test_training_goes_on_and_keeps_its_epochs_unless_the_server_refuses(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with faulty_server(kind) as uri:
        started = time.monotonic()
        try:
            run = LiveRun(params(uri), "d" * 64)
        except ThawError as refusal:
            assert kind.startswith(REFUSED)
            check(str(refusal), kind)
            return
        assert not kind.startswith(REFUSED)
        with run.stage("unfreeze"):
            run.log_row("unfreeze", EpochRow(0, 1.0, 2.0, 0.5, 0.1))
        assert time.monotonic() - started < 20
    assert len(waiting()) == 1
    first = capfd.readouterr().err.splitlines()[0]
    assert "training continues, the epochs are kept in" in first
    assert reason(kind) in first


def test_an_error_of_a_full_disk_names_what_helps() -> None:
    assert "free some space" in reason_of(OSError(28, "No space left on device", "a.db"))


def test_the_line_of_an_unknown_error_is_short() -> None:
    assert reason_of(ValueError("a" * 5000 + "\nb")) == "a" * 400
    assert reason_of(ValueError()) == "ValueError"


@pytest.mark.parametrize("kind", ["401 in HTML", "503 in HTML", "closed at once", "no HTTP"])
def test_a_registry_on_another_server_is_named_instead_of_the_store(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_server(kind) as uri:
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri)
        with pytest.raises(ThawError) as caught:
            resolve("models:/a/1", params("http://127.0.0.1:9").tracking)
    message = str(caught.value)
    assert message.startswith("models:/a/1: the MLflow registry http://ada:***@127.0.0.1:")
    assert "(MLFLOW_REGISTRY_URI) cannot be used: " in message
    assert ADDRESS not in message
    assert reason(kind).replace(ADDRESS, "MLFLOW_REGISTRY_URI") in message


def test_a_failed_store_is_named_also_where_the_registry_is_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:9")
    with faulty_server("401 in HTML") as uri, pytest.raises(ThawError) as caught:
        store.connect(params(uri).tracking)
    check(str(caught.value), "401 in HTML")


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("registered-models/alias", "EDIT on the registered model"),
        ("model-versions/create", "EDIT on the registered model"),
        ("runs/create", "EDIT on the experiment"),
        ("experiments/set-experiment-tag", "EDIT on the experiment"),
    ],
)
def test_a_refused_request_names_the_permission_that_it_needs(path: str, needed: str) -> None:
    text = f"API request to endpoint /api/2.0/mlflow/{path} failed with error code 403 != 200."
    assert reason_of(MlflowException(text)).endswith(f"an account with the permission {needed}")


def test_a_server_whose_store_of_artifacts_is_away_is_distinguished_from_one_that_fails() -> None:
    path = "/api/2.0/mlflow{}/artifacts"
    line = (
        "API request to http://127.0.0.1:5000{0} failed with exception HTTPConnectionPool: Max "
        "retries exceeded with url: {0} (Caused by ResponseError('too many 500 error responses'))"
    )
    away = reason_of(MlflowException(line.format(path.format("-artifacts"))))
    assert "store of artifacts (500)" in away
    assert "--artifacts-destination" in away
    assert "store of artifacts" not in reason_of(MlflowException(line.format(path.format("/runs"))))


@pytest.mark.parametrize("text", ["failed with error code 404", "404 Client Error: for url"])
def test_files_that_the_server_does_not_find_are_no_wrong_address(text: str) -> None:
    request = "http://127.0.0.1:5000/api/2.0/mlflow-artifacts/presigned/1/model"
    line = f"{text} {request}" if text[0] == "4" else f"API request to endpoint {request} {text}"
    assert "whether its bucket or folder exists" in reason_of(MlflowException(line))


def test_an_unknown_authority_names_the_variable_for_its_certificate() -> None:
    error = OSError(
        "Max retries exceeded with url: /api (Caused by SSLError(SSLCertVerificationError(1, "
        "'[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer "
        "certificate (_ssl.c:1006)')))"
    )
    assert reason_of(error).endswith(
        f"correct the address ({ADDRESS}), or set MLFLOW_TRACKING_SERVER_CERT_PATH to the file "
        "with the certificate of the authority that the server's certificate is from"
    )
