from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest
import requests
from mlflow.tracking import MlflowClient

from tools.check_deploy import DEPLOY
from tools.services.server_process import HOST, ServerProcess, answers, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.servers import Servers

pytestmark = pytest.mark.services

_SECRET = "secret-of-the-webhook"


def test_a_new_champion_runs_the_command_of_the_receiver_and_a_forged_call_does_not(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in servers.variables.items():
        monkeypatch.setenv(name, value)
    called = tmp_path / "called"
    port = free_port()
    receiver = ServerProcess(
        [
            *[sys.executable, "-m", "uvicorn", "--app-dir", str(DEPLOY / "webhooks")],
            *["--host", HOST, "--port", str(port), "receiver:app"],
        ],
        {
            **os.environ,
            "WEBHOOK_SECRET": _SECRET,
            "ON_CHAMPION": f'echo "$MODEL $VERSION" >> {called}',
        },
        tmp_path / "receiver.log",
    )
    url = f"http://{HOST}:{port}/webhook"
    try:
        receiver.wait_until(lambda: answers(port))
        assert requests.post(url, json={"entity": "model"}, timeout=60).status_code == 401
        client = MlflowClient(servers.mlflow.uri)
        client.create_registered_model("hooked")
        client.create_model_version("hooked", source="s3://nowhere/x")
        # The server remembers for MLFLOW_WEBHOOK_CACHE_TTL seconds that this event has no webhook.
        client.set_registered_model_alias("hooked", "other", "1")
        servers.mlflow.create_webhook(url, _SECRET)
        time.sleep(1.5)
        client.set_registered_model_alias("hooked", "challenger", "1")
        client.set_registered_model_alias("hooked", "champion", "1")
        assert _first_lines(called, 1) == ["hooked 1"]
        assert _signed(url, {"entity": "prompt", "action": "created"}) == 202
        servers.mlflow.kill()
        servers.mlflow.start()  # with the same key it can still read the secret in the database
        client.create_model_version("hooked", source="s3://nowhere/x")
        client.set_registered_model_alias("hooked", "champion", "2")
        assert _first_lines(called, 2) == ["hooked 1", "hooked 2"]
    finally:
        receiver.stop()
    assert _SECRET.encode() not in servers.database.dump("mlflow")


def _first_lines(path: Path, count: int) -> list[str]:
    """Return the lines of ``path`` as soon as there are ``count``, or what it has after 60 s."""
    deadline = time.monotonic() + 60
    lines: list[str] = []
    while len(lines) < count and time.monotonic() < deadline:
        time.sleep(0.1)
        lines = path.read_text().splitlines() if path.exists() else []
    return lines


def _signed(url: str, event: dict[str, object]) -> int:
    """Send an event as MLflow signs it; return the status of the answer."""
    body, now = json.dumps(event).encode(), str(int(time.time()))
    digest = hmac.new(_SECRET.encode(), f"1.{now}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "X-MLflow-Signature": f"v1,{base64.b64encode(digest).decode()}",
        "X-MLflow-Delivery-Id": "1",
        "X-MLflow-Timestamp": now,
    }
    return requests.post(url, data=body, headers=headers, timeout=60).status_code
