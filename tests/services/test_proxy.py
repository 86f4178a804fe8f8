from __future__ import annotations

import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
import requests

from tools.check_deploy import DEPLOY
from tools.debian_packages import MissingPackageError, install
from tools.services.server_process import HOST, ServerProcess, answers, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.services


class Upstream(BaseHTTPRequestHandler):
    """A service that answers with the path and the authorization that it got."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} {self.headers.get('Authorization')}".encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[int]:
    server = HTTPServer((HOST, 0), Upstream)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture(scope="module")
def caddy() -> str:
    """The program of the proxy, installed from Debian where it is missing."""
    if shutil.which("caddy") is None:
        try:
            install("caddy")
        except MissingPackageError as error:
            pytest.skip(str(error))
    return "caddy"


@pytest.fixture
def proxy(caddy: str, upstream: int, tmp_path: Path) -> Iterator[str]:
    """The address of the proxy of `deploy/`, with certificates of its own, on free ports."""
    port = free_port()
    options = f"{{\n\thttp_port {free_port()}\n\tadmin off\n\tskip_install_trust\n}}\n"
    config = tmp_path / "Caddyfile"
    config.write_text(options + (DEPLOY / "compose" / "Caddyfile").read_text())
    variables = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "MLFLOW_DOMAIN": f"localhost:{free_port()}",
        "SERVE_DOMAIN": f"localhost:{port}",
        "TLS": "internal",
        "SERVE_TOKEN": "the-token",
        "MLFLOW_UPSTREAM": f"{HOST}:{upstream}",
        "SERVE_UPSTREAM": f"{HOST}:{upstream}",
    }
    command = [caddy, "run", "--adapter", "caddyfile", "--config", str(config)]
    server = ServerProcess(command, variables, tmp_path / "caddy.log")
    try:
        server.wait_until(lambda: answers(port))
        yield f"https://localhost:{port}"
    finally:
        server.stop()


def test_the_proxy_asks_for_the_token_over_tls_and_hides_it_from_the_service(
    proxy: str, tmp_path: Path
) -> None:
    session = requests.Session()
    session.trust_env = False  # a CA bundle in the environment would come before `verify`
    root = tmp_path / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    session.verify = str(root)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "the-token"}):
        answer = session.get(f"{proxy}/predict", headers=headers, timeout=60)
        assert answer.status_code == 401
    answer = session.get(
        f"{proxy}/predict", headers={"Authorization": "Bearer the-token"}, timeout=30
    )
    assert answer.status_code == 200
    assert answer.text == "/predict None"
    assert session.get(f"{proxy}/healthz", timeout=60).text == "/healthz None"
    assert session.get(f"{proxy}/healthz/../predict", timeout=60).status_code == 401
