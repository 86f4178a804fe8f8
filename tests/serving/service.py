"""A running service for tests, and requests to it."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
import uvicorn

from thaw.serving.app import create_app
from thaw.serving.connections import ServiceProtocol
from thaw.serving.served_model import load_served_model
from thaw.serving.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

PNG = {"Content-Type": "image/png"}
JSON = {"Content-Type": "application/json"}


@contextmanager
def running(model_uri: str, **changes: Any) -> Iterator[str]:
    """Run a service under uvicorn in a thread, on a free port; return its address."""
    settings = Settings(**{"poll": 0.05, **changes})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = create_app(model_uri, load_served_model(model_uri, settings), settings)
        config = uvicorn.Config(
            app, http=ServiceProtocol, log_level="critical", timeout_graceful_shutdown=10
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def metric(url: str, name: str) -> float:
    """Return one value of `/metrics`."""
    lines = requests.get(f"{url}/metrics", timeout=60).text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return float(values[name])


def wait_for(url: str, name: str, value: float) -> None:
    """Wait until a value of `/metrics` is at least ``value``."""
    end = time.monotonic() + 120
    while metric(url, name) < value:
        assert time.monotonic() < end, f"{name} stays below {value}"
        time.sleep(0.02)


def post(url: str, **body: Any) -> requests.Response:
    """Send a request to `/predict`."""
    return requests.post(f"{url}/predict", timeout=60, **body)


def start_request(url: str, content: bytes, sent: int) -> http.client.HTTPConnection:
    """Send the headers and the first ``sent`` bytes of a request, and leave it open."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Type", "image/png")
    connection.putheader("Content-Length", str(len(content)))
    connection.endheaders()
    connection.send(content[:sent])
    return connection


def assert_refused(answer: requests.Response, status: int, reason: str) -> None:
    """Check the status and the reason of an error, and that it shows no internals."""
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert reason in answer.json()["error"]
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text
