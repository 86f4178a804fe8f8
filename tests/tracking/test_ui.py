from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests import settings
from thaw.errors import ThawError
from thaw.tracking.store import connect
from thaw.tracking.ui import replace_by_ui

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = (
    "from tests import settings; from thaw.tracking.ui import replace_by_ui;"
    "replace_by_ui(settings.PARAMS.tracking, {port})"
)


def test_a_remote_store_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(ThawError, match=r"http://127\.0\.0\.1:9 cannot be used.*refused"):
        replace_by_ui(settings.PARAMS.tracking, 5000)


def test_a_port_that_is_in_use_is_one_line_with_another_one(stored: Path) -> None:
    connect(settings.PARAMS.tracking)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ThawError, match=rf"--port {port}: .*`thaw ui --port {port + 1}`"):
            replace_by_ui(settings.PARAMS.tracking, port)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_server_loads_prints_no_traceback(
    stored: Path, number: signal.Signals
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(port=port)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell starts background jobs with SIGINT ignored, and a test run may be one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(f"runs: http://127.0.0.1:{port}/")
    assert process.stdout.readline().startswith("the MLflow server starts")
    time.sleep(1)
    os.killpg(process.pid, number)
    printed, errors = process.communicate(timeout=60)
    # On a fast machine MLflow may have said already which hosts it answers.
    left = [line for line in errors.splitlines() if not line.startswith("[MLflow] ")]
    assert (printed, left) == ("", [])
    assert process.returncode == (143 if number == signal.SIGTERM else 130)
