from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING

import pytest
import requests

from tests.services import colleague
from tests.services.caddy import running_caddy
from tests.services.secret_search import places_of_secrets
from tests.serving.hub_stub import hub
from tools.services.server_process import HOST, ServerProcess, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.colleague import Colleague
    from tests.services.servers import Servers

pytestmark = pytest.mark.services

_CHAMPION = "models:/classifier@champion"


@pytest.fixture(scope="module")
def project(digits: Colleague, tmp_path_factory: pytest.TempPathFactory) -> Colleague:
    """The digits with two versions in the registry: the champion and a challenger."""
    copy = digits.copied_to(tmp_path_factory.mktemp("verbs") / "project")
    copy.set(fold_bn__lr=0.001)
    copy.commit("faster")
    output = copy.run("dvc", "repro")
    assert "as @challenger" in output
    assert re.search(r"its report: http://127\.0\.0\.1:\d+/#/experiments/\d+/runs/\w+/", output)
    assert "View run" not in output
    copy.commit("second")
    return copy


def test_the_digits_are_registered_on_the_servers_and_have_nothing_to_do(
    servers: Servers, digits: Colleague
) -> None:
    assert "Data and pipelines are up to date" in digits.run("dvc", "status")
    assert "@champion" in digits.run("thaw", "status")
    keys = servers.store.keys(servers.mlflow.artifacts)
    for name in ("model.safetensors", "MLmodel", "pipeline/dvc.lock"):
        assert any(key.endswith(name) for key in keys)
    assert not list(digits.folder.glob("mlruns/*.db"))


def test_every_verb_of_the_registry_works_on_the_servers(
    servers: Servers, project: Colleague
) -> None:
    project.run("thaw", "promote", "--force", "--reason", "a short training")
    project.run("thaw", "rollback", "--reason", "to try it")
    history = project.run("thaw", "history", "--verify")
    assert re.search(r"rollback, version \d+ to 1", history)
    assert "3 rows, verified" in history
    assert "View run" not in project.run("thaw", "copy", "--json", _CHAMPION, "production")
    assert "@challenger" in project.run("thaw", "status", "--model", "production")
    project.run("thaw", "repair")
    project.run("thaw", "report")


def test_a_model_of_the_servers_predicts_serves_and_is_trained_further(
    servers: Servers, project: Colleague, photos: Path, tmp_path: Path
) -> None:
    table = tmp_path / "predicted.csv"
    project.run("thaw", "predict", _CHAMPION, str(photos), "--out", str(table))
    assert len(table.read_text().splitlines()) == 1 + 60

    image = next(photos.glob("red/*.png")).read_bytes()
    answer = _served(servers, project, _CHAMPION, image, tmp_path)
    assert answer["model"] == "models:/classifier/1"

    other = colleague.new_project(tmp_path / "colours", photos, servers.variables)
    other.set(backbone__weights=_CHAMPION)
    other.run("dvc", "repro", "warmup_head")
    spec = json.loads((other.folder / "models/warmup_head/model.json").read_text())
    assert any("models:/classifier/1" in str(parent) for parent in spec["parents"])
    assert places_of_secrets(servers, [project, other]) == []


def test_verbs_that_examine_and_publish_work_on_the_servers(
    servers: Servers, project: Colleague, tmp_path: Path
) -> None:
    assert re.search(r"MLflow: answers; \d runs", project.run("thaw", "doctor"))
    assert f"runs: {servers.mlflow.uri}/#/" in project.run("thaw", "ui")
    assert json.loads(project.run("thaw", "status", "--json"))

    exported = tmp_path / "model.pt2"
    options = ("--format", "torch-export", "--out", str(exported))
    project.run("thaw", "export", _CHAMPION, *options)
    assert exported.stat().st_size > 10_000
    with hub() as state:
        access = {"HF_ENDPOINT": state.address, "HF_TOKEN": "hf_test"}
        project.with_variables(access).run("thaw", "push-to-hub", _CHAMPION, "ada/digits")
    assert "thaw/model.safetensors" in state.files
    assert not [text for text in servers.secrets if text in repr(state.files)]


def test_passwords_in_addresses_and_wrong_ones_are_in_no_message_file_or_run(
    servers: Servers, project: Colleague
) -> None:
    address = servers.mlflow.uri.replace("//", f"//{servers.account}:{servers.password}@")
    no_account = {"MLFLOW_TRACKING_USERNAME": "", "MLFLOW_TRACKING_PASSWORD": ""}
    owner = project.with_variables({**no_account, "MLFLOW_TRACKING_URI": address})
    owner.run("dvc", "repro", "--force", "--single-item", "evaluate")
    assert "@champion" in owner.run("thaw", "status")

    stranger = project.with_variables({"MLFLOW_TRACKING_PASSWORD": "open-sesame"})
    assert "MLFLOW_TRACKING_PASSWORD" in stranger.run("thaw", "status", code=2)
    elsewhere = re.sub(r":\d+$", ":9", address)
    lost = project.with_variables(
        {"MLFLOW_TRACKING_URI": elsewhere, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    )
    assert "Connection refused" in lost.run("thaw", "status", code=2)
    assert "open-sesame" not in stranger.output
    assert places_of_secrets(servers, [owner, stranger, lost]) == []


def test_mlflow_behind_the_proxy_with_tls_works_where_its_certificate_is_given(
    servers: Servers, project: Colleague, tmp_path: Path
) -> None:
    upstream = servers.mlflow.uri.removeprefix("http://")
    with running_caddy(tmp_path, upstream, upstream) as proxy:
        stranger = project.with_variables({"MLFLOW_TRACKING_URI": proxy.mlflow})
        refused = stranger.run("thaw", "status", code=2)
        assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in refused
        for variable in ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE"):
            owner = stranger.with_variables({variable: str(proxy.certificate)})
            assert "@champion" in owner.run("thaw", "status")
        owner.run("dvc", "repro", "--force", "--single-item", "evaluate")
        reason = ("--reason", "through the proxy")
        assert "@champion" in owner.run("thaw", "promote", "--force", *reason)
        assert "through the proxy" in owner.run("thaw", "history", "--json")
        owner.run("thaw", "rollback", *reason)
    assert places_of_secrets(servers, [owner]) == []


def test_a_colleague_promotes_with_edit_and_is_told_of_it_with_read(
    servers: Servers, project: Colleague
) -> None:
    password = secrets.token_urlsafe(16)
    servers.mlflow.create_account("ben", password)
    ben = project.with_variables(
        {"MLFLOW_TRACKING_USERNAME": "ben", "MLFLOW_TRACKING_PASSWORD": password}
    )
    ben.without("MLFLOW_TRACKING_URI").set(tracking__uri=servers.mlflow.uri)
    assert "@champion" in ben.run("thaw", "status")
    before = project.run("thaw", "history")
    (champion,) = (
        each["version"]
        for each in json.loads(project.run("thaw", "status", "--json"))["aliases"]
        if each["alias"] == "champion"
    )
    other = "2" if champion == 1 else "1"
    promotion = ("thaw", "promote", other, "--force", "--reason", "of ben")
    assert "EDIT on the experiment" in ben.run(*promotion, code=2)
    evaluation = ("dvc", "repro", "--force", "--single-item", "evaluate")
    assert "EDIT on the experiment" in ben.run(*evaluation, code=255)
    assert project.run("thaw", "history") == before

    experiment = re.search(r"experiments/(\d+)", ben.run("thaw", "ui"))
    assert experiment
    servers.mlflow.grant("ben", "experiment", experiment[1], "EDIT")
    assert "EDIT on the registered model" in ben.run(*promotion, code=2)
    assert project.run("thaw", "history") == before
    servers.mlflow.grant("ben", "registered_model", "classifier", "EDIT")
    ben.run(*evaluation)
    ben.run(*promotion)
    for each in (ben, project):
        assert "of ben" in each.run("thaw", "history", "--json")
        assert "@champion" in each.run("thaw", "status")
    assert places_of_secrets(servers, [ben, project]) == []


def _served(
    servers: Servers, project: Colleague, model: str, image: bytes, folder: Path
) -> dict[str, object]:
    """Return what `thaw serve` answers for one image."""
    port = free_port()
    log = folder / "serve.log"
    service = ServerProcess(
        ["thaw", "serve", model, "--port", str(port)], project.environment(), log
    )
    try:
        service.wait_until(lambda: _is_ready(port))
        answer = requests.post(f"http://{HOST}:{port}/predict", files={"image": image}, timeout=60)
        answer.raise_for_status()
    finally:
        service.stop()
    project.output += log.read_text()
    found: dict[str, object] = answer.json()
    return found


def _is_ready(port: int) -> bool:
    try:
        return requests.get(f"http://{HOST}:{port}/healthz", timeout=2).ok
    except requests.RequestException:
        return False
