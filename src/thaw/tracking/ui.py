"""Start MLflow's web interface on the project's store."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.system import server_runner
from thaw.system.console import print_line
from thaw.system.interrupts import become
from thaw.system.launching import ENVIRONMENT
from thaw.system.project_paths import SCRATCH
from thaw.system.sqlite_addresses import is_sqlite, path_of
from thaw.tracking.runs_page import VIEW, VIEW_TAG, address_of_runs
from thaw.tracking.store import connect, store_errors, store_uri
from thaw.tracking.store_scope import with_absolute_uri

if TYPE_CHECKING:
    from thaw.config.result_sections import Tracking

_HOST = "127.0.0.1"


def replace_by_ui(tracking: Tracking, port: int) -> None:
    """Print the address of the experiment's runs; run MLflow's server until a signal arrives.

    If the store is a server already, only its address is printed.

    Raises:
        ThawError: the store does not answer, or the port is in use.
    """
    uri = store_uri(tracking)
    is_server = uri.startswith("http")
    if not is_server:
        _refuse_busy(port)
    client, experiment_id = connect(tracking)
    with store_errors(uri):
        if client.get_experiment(experiment_id).tags.get(VIEW_TAG) != VIEW:
            client.set_experiment_tag(experiment_id, VIEW_TAG, VIEW)
    server = uri if is_server else f"http://{_HOST}:{port}"
    print_line(f"runs: {address_of_runs(server, experiment_id)}")
    if is_server:
        return
    print_line("the MLflow server starts, which takes some seconds; Ctrl-C ends it")
    _replace(store_uri(with_absolute_uri(tracking, Path.cwd())), port)


def _replace(uri: str, port: int) -> None:
    # Its default of 4 workers and 7 job processes takes 18 s to start and 1.9 GB.
    # Warnings of MLflow about its own packages would move the address out of the window.
    defaults = {**ENVIRONMENT, "PYTHONWARNINGS": "ignore"}
    environment = {**defaults, **os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    options = ["--host", _HOST, "--port", str(port), "--workers", "1", "--registry-store-uri", uri]
    # Without a line for each request.
    options += ["--uvicorn-opts", "--log-level warning"]
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--backend-store-uri", uri, *options]
    # The server imports modules from the working directory, whatever -P says.
    folder = path_of(uri).parent if is_sqlite(uri) else SCRATCH
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    if hasattr(signal, "sigwait"):  # Windows has neither it nor sessions of processes
        command = [sys.executable, "-P", "-m", server_runner.MODULE, *command]
    become(command, environment)


def _refuse_busy(port: int) -> None:
    """Raise if another program listens on ``port``: MLflow's own message is a traceback.

    Raises:
        ThawError: names the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise ThawError(
                f"--port {port}: {error.strerror}: choose another port (`thaw ui --port "
                f"{port % 65535 + 1}`), or end the program that listens there"
            ) from None
