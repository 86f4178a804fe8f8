from __future__ import annotations

import getpass
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
import requests

from tests.services.caddy import Proxy, program, running_caddy
from tools.check_deploy import DEPLOY
from tools.services.mlflow_server import NAME
from tools.services.server_process import HOST, ServerProcess, answers, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.servers import Servers

pytestmark = pytest.mark.services


class Upstream(BaseHTTPRequestHandler):
    """A service that answers with the path and the authorization that it got."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} {self.headers.get('Authorization')}".encode())

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        while size:
            size -= len(self.rfile.read(min(size, 1 << 16)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} {self.headers['Content-Length']}".encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[int]:
    server = HTTPServer((HOST, 0), Upstream)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture(scope="module")
def nginx() -> str:
    return program("nginx")


@pytest.fixture
def proxy(upstream: int, tmp_path: Path) -> Iterator[Proxy]:
    """The proxy of `deploy/` before a service that answers what it got."""
    with running_caddy(tmp_path, f"{HOST}:{upstream}", f"{HOST}:{upstream}") as running:
        yield running


def test_the_proxy_asks_for_the_token_over_tls_and_hides_it_from_the_service(proxy: Proxy) -> None:
    session = requests.Session()
    session.trust_env = False  # a CA bundle in the environment would come before `verify`
    session.verify = str(proxy.certificate)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "the-token"}):
        answer = session.get(f"{proxy.serve}/predict", headers=headers, timeout=60)
        assert answer.status_code == 401
    answer = session.get(
        f"{proxy.serve}/predict", headers={"Authorization": "Bearer the-token"}, timeout=30
    )
    assert answer.status_code == 200
    assert answer.text == "/predict None"
    assert session.get(f"{proxy.serve}/healthz", timeout=60).text == "/healthz None"
    assert session.get(f"{proxy.serve}/healthz/../predict", timeout=60).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": NAME, "Origin": f"https://{NAME}"}, 200),
        ({"Host": "elsewhere.example.org"}, 403),
        ({"Host": NAME, "Origin": "https://elsewhere.example.org"}, 403),
    ],
)
def test_mlflow_serves_the_names_and_origins_of_its_command_only(
    servers: Servers, headers: dict[str, str], status: int
) -> None:
    address = f"{servers.mlflow.uri}/api/2.0/mlflow/experiments/search"
    account = (servers.account, servers.password)
    answer = requests.post(
        address, json={"max_results": 1}, headers=headers, auth=account, timeout=60
    )
    assert answer.status_code == status


@pytest.fixture
def nginx_proxy(nginx: str, upstream: int, tmp_path: Path) -> Iterator[str]:
    """The address of nginx with the file of `deploy/`, a certificate of its own, on a free port."""
    key, certificate, port = tmp_path / "key.pem", tmp_path / "certificate.pem", free_port()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    site = (DEPLOY / "nginx" / "thaw-serve.conf").read_text()
    for found, replaced in {
        "listen 443 ssl": f"listen {HOST}:{port} ssl",
        "/etc/ssl/certs/classify.example.org.pem": str(certificate),
        "/etc/ssl/private/classify.example.org.key": str(key),
        "127.0.0.1:8000;": f"{HOST}:{upstream};",
    }.items():
        assert found in site
        site = site.replace(found, replaced)
    (tmp_path / "site.conf").write_text(site)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {tmp_path / kind}; " for kind in kinds)
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; user {getpass.getuser()}; pid {tmp_path / 'pid'}; error_log stderr;\n"
        "events {}\n"
        f"http {{ access_log off; {folders} include {tmp_path / 'site.conf'}; }}\n"
    )
    command = [nginx, "-p", str(tmp_path), "-e", "stderr", "-c", str(config)]
    server = ServerProcess(command, os.environ, tmp_path / "nginx.log")
    try:
        server.wait_until(lambda: answers(port))
        yield f"https://localhost:{port}"
    finally:
        server.stop()


def test_nginx_asks_for_the_token_over_tls_and_takes_the_images_of_the_service(
    nginx_proxy: str, tmp_path: Path
) -> None:
    session = requests.Session()
    session.trust_env = False
    session.verify = str(tmp_path / "certificate.pem")
    token = {"Authorization": "Bearer the-token"}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "the-token"}):
        assert session.get(f"{nginx_proxy}/predict", headers=headers).status_code == 401
    assert session.get(f"{nginx_proxy}/predict", headers=token).text == "/predict None"
    assert session.get(f"{nginx_proxy}/healthz").text == "/healthz None"
    assert session.post(f"{nginx_proxy}/healthz", data=b"x").status_code == 403
    answer = session.post(f"{nginx_proxy}/predict", headers=token, data=bytes(20_000_000))
    assert answer.text == "/predict 20000000"
    too_large = session.post(f"{nginx_proxy}/predict", headers=token, data=bytes(26_300_000))
    assert too_large.status_code == 413
