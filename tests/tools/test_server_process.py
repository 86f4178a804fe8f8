from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from tools.services.server_process import HOST, ServerProcess, answers, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# A server with a child, which would outlive it.
_WITH_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_server_answers_until_it_is_stopped(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "http.server", "--bind", HOST, str(port)]
    server = ServerProcess(command, os.environ, tmp_path / "log")
    try:
        server.wait_until(lambda: answers(port))
    finally:
        server.stop()
    assert not answers(port)


@pytest.mark.slow
def test_the_children_of_a_server_are_stopped_with_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = ServerProcess([sys.executable, "-c", _WITH_CHILD], os.environ, log)
    server.wait_until(lambda: log.read_text().endswith("\n"))
    child = psutil.Process(int(log.read_text()))
    server.stop()
    psutil.wait_procs([child], timeout=120)
    assert not child.is_running()


# A process that starts such a server and does not stop it.
_STARTER = """
import os, sys, time
from pathlib import Path
from tools.services.server_process import ServerProcess
ServerProcess([sys.executable, "-c", sys.argv[2]], os.environ, Path(sys.argv[1]))
time.sleep(600)
"""


@pytest.mark.slow
def test_the_children_of_a_server_end_when_the_process_that_started_it_is_killed(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    log.touch()
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(log), _WITH_CHILD],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert _until(lambda: log.read_text().endswith("\n"))
        child = psutil.Process(int(log.read_text()))
        server = child.parent()
    finally:
        starter.kill()
        starter.wait()
    assert server is not None
    psutil.wait_procs([child, server], timeout=120)
    assert not child.is_running()
    assert not server.is_running()


def test_a_server_that_does_not_start_is_reported_with_its_output(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
    server = ServerProcess(command, os.environ, tmp_path / "log")
    with pytest.raises(RuntimeError, match=r"(?s)exit code 1:.*the port is taken"):
        server.wait_until(lambda: False)


def _until(is_true: Callable[[], bool]) -> bool:
    """Return whether ``is_true()`` returns true within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if is_true():
            return True
        time.sleep(0.05)
    return False
