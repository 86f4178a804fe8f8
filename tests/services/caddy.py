"""The proxy of `deploy/compose`: Caddy with certificates of its own, on free ports."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tools.check_deploy import DEPLOY
from tools.debian_packages import MissingPackageError, install
from tools.services.server_process import ServerProcess, answers, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Proxy:
    """A running proxy: its addresses, and the certificate of its authority."""

    mlflow: str
    serve: str
    certificate: Path


def program(package: str) -> str:
    """Return a program, installed from Debian where it is missing; skip the test if it cannot."""
    if shutil.which(package) is None:
        try:
            install(package)
        except MissingPackageError as error:
            pytest.skip(str(error))
    return package


@contextlib.contextmanager
def running_caddy(folder: Path, mlflow: str, serve: str) -> Iterator[Proxy]:
    """Run the proxy before two services, each of which is given as host and port."""
    of_mlflow, of_serve = free_port(), free_port()
    options = f"{{\n\thttp_port {free_port()}\n\tadmin off\n\tskip_install_trust\n}}\n"
    config = folder / "Caddyfile"
    config.write_text(options + (DEPLOY / "compose" / "Caddyfile").read_text())
    variables = {
        **os.environ,
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "data"),
        "MLFLOW_DOMAIN": f"localhost:{of_mlflow}",
        "SERVE_DOMAIN": f"localhost:{of_serve}",
        "TLS": "internal",
        "SERVE_TOKEN": "the-token",
        "MLFLOW_UPSTREAM": mlflow,
        "SERVE_UPSTREAM": serve,
    }
    command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(config)]
    root = folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    server = ServerProcess(command, variables, folder / "caddy.log")
    try:
        server.wait_until(lambda: answers(of_serve) and answers(of_mlflow) and root.is_file())
        yield Proxy(f"https://localhost:{of_mlflow}", f"https://localhost:{of_serve}", root)
    finally:
        server.stop()
