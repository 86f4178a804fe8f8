from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from thaw.system.interrupts import SIGNALS, become
from thaw.system.server_runner import MODULE

if TYPE_CHECKING:
    from collections.abc import Iterator

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has PR_SET_PDEATHSIG")
# A server with a worker; for an interrupt, both would print a traceback.
WORKER = "import time; print('up', flush=True); time.sleep(60)"
SERVER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WORKER!r}])"
# The server ends at SIGTERM, its worker does not.
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WORKER}"
WITHOUT_HANDLER = (
    f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]).wait()"
)
HELD = (  # as `thaw ui` starts it: signals are kept back
    f"import os, sys; from {become.__module__} import become;"
    f"become([sys.executable, '-P', '-m', '{MODULE}', *sys.argv[1:]], dict(os.environ))"
)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def run(started: list[subprocess.Popen[str]], program: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell starts background jobs with SIGINT ignored, and a test run may be one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    started.append(process)
    return process


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return psutil.Process(process.pid).children(recursive=True)


def require_ended(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(each, 143 if each == signal.SIGTERM else 130) for each in SIGNALS]
)
@pytest.mark.parametrize("is_group", [True, False], ids=["group", "process"])
def test_a_signal_ends_the_server_with_its_worker_and_prints_nothing(
    number: signal.Signals, code: int, is_group: bool, started: list[subprocess.Popen[str]]
) -> None:
    process = run(started, SERVER)
    children = children_of(process)
    assert len(children) == 2
    (os.killpg if is_group else os.kill)(process.pid, number)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == code
    require_ended(children)


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.2, 0.4])
def test_a_signal_while_it_starts_prints_nothing(
    seconds: float, started: list[subprocess.Popen[str]]
) -> None:
    process = run(started, "import time, torch; time.sleep(60)")
    while MODULE not in psutil.Process(process.pid).cmdline():
        time.sleep(0.01)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


@pytest.mark.slow
def test_a_second_signal_kills_a_process_that_does_not_end(
    started: list[subprocess.Popen[str]],
) -> None:
    process = run(started, WITHOUT_HANDLER)
    children = children_of(process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 143
    require_ended(children)


@pytest.mark.parametrize(
    ("program", "code"),
    [("import sys; sys.exit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)],
)
def test_a_server_that_ends_by_itself_gives_its_exit_code(
    program: str, code: int, started: list[subprocess.Popen[str]]
) -> None:
    assert run(started, program).wait(timeout=60) == code


@pytest.mark.slow
@linux
def test_a_server_gets_sigterm_when_this_process_is_killed(
    started: list[subprocess.Popen[str]],
) -> None:
    process = run(started, WORKER)
    children = children_of(process)
    process.kill()
    require_ended(children)


def test_a_signal_that_the_parent_ignores_stays_ignored(
    started: list[subprocess.Popen[str]],
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = run(started, WORKER)
    finally:
        signal.signal(signal.SIGHUP, before)
    children_of(process)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
