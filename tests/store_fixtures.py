from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from functools import cache
from typing import TYPE_CHECKING

import mlflow
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True, scope="session")
def _mlflow_as_it_was() -> Iterator[None]:
    """MLflow keeps the store that was used last in the environment."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    if before is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[str]:
    """The address of an `mlflow server` with one worker; it takes 4 s to start."""
    process, uri = _start(tmp_path_factory.getbasetemp() / "server", empty_store)
    yield uri
    process.terminate()
    process.wait(20)


@pytest.fixture
def server_group(
    server: str, tmp_path_factory: pytest.TempPathFactory, empty_store: Path
) -> Iterator[tuple[str, int]]:
    """The address of the server, and the number of its process group, which a test may stop."""
    process, uri = _start(tmp_path_factory.getbasetemp() / "server", empty_store)
    yield uri, process.pid
    os.killpg(process.pid, signal.SIGCONT)


@cache  # the tests of several folders share it
def _start(folder: Path, store: Path) -> tuple[subprocess.Popen[bytes], str]:
    folder.mkdir()
    shutil.copy(store, folder / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    variables = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    variables.pop("MLFLOW_TRACKING_URI", None)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_end_with_pytest,
        )
    uri = f"http://127.0.0.1:{port}"
    _wait(f"{uri}/health", process)
    return process, uri


def _end_with_pytest() -> None:
    """Make the kernel end this process when pytest is killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(900):  # minutes: the machine may be busy
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(url, timeout=60):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the server does not answer")
