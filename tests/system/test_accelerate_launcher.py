from __future__ import annotations

import logging
import os
import runpy
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from tests import settings
from tests.project import ROOT
from thaw.system import accelerate_launcher
from thaw.system.launching import accelerate_command
from thaw.system.process_group import ProcessGroup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TWO_HERE = ProcessGroup(2)
TWO = ["--multi_gpu", "--num_processes", "2", "-m", "module", "argument"]


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """Restore the handler of SIGINT, which the launcher replaces."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def code_of(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> int:
    """Return the exit code of two processes whose start by Accelerate raises ``error``."""

    def launch(options: Any) -> None:
        assert options.num_processes == 2
        if error is not None:
            raise error

    monkeypatch.setattr(accelerate_launcher, "launch_command", launch)
    return accelerate_launcher.main(TWO)


def failed(*codes: int) -> ChildFailedError:
    """Return the error for processes that ended with ``codes``, in this order, rank 1 first."""
    failures: Any = {
        rank: SimpleNamespace(exitcode=code, timestamp=rank, local_rank=rank)
        for rank, code in enumerate(codes, start=1)
    }
    error = ChildFailedError.__new__(ChildFailedError)
    error.failures = failures
    return error


def test_a_single_process_runs_the_module_itself_with_its_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(sys, "argv", ["launcher"])
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(runpy, "run_module", lambda name, **_: ran.append((name, sys.argv[1:])))
    command = accelerate_command("module", settings.PARAMS.launch, threads=1)
    options = command[command.index("thaw.system.accelerate_launcher") + 1 :]
    assert accelerate_launcher.main([*options, "argument"]) == 0
    assert ran == [("module", ["argument"])]
    assert os.environ["ACCELERATE_MIXED_PRECISION"] == "no"  # thaw rounds by itself
    assert os.environ["ACCELERATE_USE_CPU"].lower() == "false"


def test_processes_that_all_succeed_give_the_exit_code_0(monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(monkeypatch, None) == 0


@pytest.mark.parametrize(("ended", "code"), [(1, 1), (-9, 137)])
def test_the_exit_code_is_that_of_the_first_process_that_failed(
    ended: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(monkeypatch, failed(ended)) == code
    assert capsys.readouterr().err == f"process 1 failed: exit code {ended}\n"


def test_a_mistake_of_the_user_is_not_reported_a_second_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(monkeypatch, failed(2)) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("codes", [(2, -9), (130, -9), (-9, 2), (-9, 1)])
def test_a_process_that_lost_another_one_is_not_the_cause(
    codes: tuple[int, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(monkeypatch, failed(*codes)) == 137
    rank = 1 + codes.index(-9)
    assert capsys.readouterr().err == f"process {rank} failed: exit code -9\n"


def test_torchrun_logs_no_signals_and_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    code_of(monkeypatch, SignalException("interrupted", signal.SIGINT))
    for module in ("agent.server.api", "multiprocessing.api"):
        logger = logging.getLogger(f"torch.distributed.elastic.{module}")
        assert not logger.isEnabledFor(logging.ERROR)


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (signal.SIGINT, ""),  # process 0 prints it
        (signal.SIGTERM, "interrupted: the same command continues from the last checkpoint\n"),
    ],
)
def test_an_interrupt_gives_the_exit_code_130_and_one_line(
    number: signal.Signals,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert code_of(monkeypatch, SignalException("interrupted", number)) == 130
    assert capsys.readouterr().err == line


# Python imports it in each process while it starts, before the first module runs.
AT_THE_START = """
import os, signal, time
if os.environ.get("RANK") == "1":
    time.sleep(0.5)  # process 0 starts as well
    os.kill(os.getppid(), signal.{name})  # of torchrun, which sends it to all
if "RANK" in os.environ:
    time.sleep(2)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("SIGINT", "interrupted: run the same command again\n"),
        ("SIGTERM", "interrupted: the same command continues from the last checkpoint\n"),
    ],
)
def test_a_signal_while_several_processes_start_python_gives_one_line(
    name: str, line: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(AT_THE_START.format(name=name))
    paths = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    command = accelerate_command("thaw.system.stage_names", settings.PARAMS.launch, 1, TWO_HERE)
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=True,
    )
    assert done.stderr == line
    assert done.returncode == 130


def test_a_network_error_on_one_machine_is_not_called_a_missed_meeting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(torch.distributed.DistNetworkError):
        code_of(monkeypatch, torch.distributed.DistNetworkError("the port is in use"))
