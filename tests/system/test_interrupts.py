from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from thaw.system.interrupts import FIRST_MODULE, INTERRUPTED, become, release_signals

if TYPE_CHECKING:
    from pathlib import Path

LINE = "interrupted: run the same command again\n"
SLOW = (  # an import that turns an interrupt into another error, as those of C extensions do
    "import time\nprint('up', flush=True)\n"
    "try:\n    time.sleep(60)\nexcept BaseException:\n    raise ImportError('part of a package')\n"
)
HELD = (  # the signal comes just before the other program begins
    "import os, signal, sys; from thaw.system.interrupts import become; execute = os.execvpe\n"
    "def interrupted(*given):\n"
    "    os.kill(os.getpid(), signal.{name})\n    execute(*given)\n"
    "os.execvpe = interrupted\n"
    f"become([sys.executable, '-P', '-m', '{FIRST_MODULE}', 'this'], dict(os.environ))"
)
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU]


def start(*command: str, handler: signal.Handlers = signal.SIG_DFL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts background jobs with SIGINT ignored, and a test run may be one
        preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
    )


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_in_an_import_is_one_line_and_exit_code_130(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_import.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    process = start("-m", FIRST_MODULE, "slow_import")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    assert process.communicate(timeout=300) == ("", LINE)
    assert process.returncode == INTERRUPTED


def test_one_process_of_a_stage_says_that_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_import.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    for rank, line in (("0", LINE), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        process = start("-m", FIRST_MODULE, "slow_import")
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=300) == ("", line)
        assert process.returncode == INTERRUPTED


def test_a_process_that_the_launcher_of_several_ends_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_import.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("RANK", "0")
    for ranks, line in (("1", LINE), ("2", "")):
        monkeypatch.setenv("WORLD_SIZE", ranks)
        process = start("-m", FIRST_MODULE, "slow_import")
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=300) == ("", line)
        assert process.returncode == INTERRUPTED


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_the_process_becomes_another_program_arrives_in_it(
    number: signal.Signals,
) -> None:
    process = start("-c", HELD.format(name=number.name))
    assert process.communicate(timeout=300) == ("", LINE)
    assert process.returncode == INTERRUPTED


def test_an_interrupt_that_the_parent_ignores_stays_ignored() -> None:
    program = (
        "import os, signal; from thaw.system.interrupts import end_at_signals; end_at_signals();"
        "os.kill(os.getpid(), signal.SIGINT); print('alive')"
    )
    process = start("-c", program, handler=signal.SIG_IGN)
    assert process.communicate(timeout=300) == ("alive\n", "")


def test_a_module_runs_with_its_own_arguments() -> None:
    process = start("-m", FIRST_MODULE, "json.tool", "--help")
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert out.startswith("usage: ")


def test_signals_arrive_again_if_the_other_program_cannot_be_started() -> None:
    with pytest.raises(FileNotFoundError):
        become(["/nothing/here"], {})
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(SIGNALS)


def test_signals_that_were_kept_back_are_released() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    release_signals()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(SIGNALS)


def test_a_module_that_memory_does_not_suffice_to_import_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "libtorch_cpu.so: failed to map segment from shared object"
    (tmp_path / "too_large.py").write_text(f"raise ImportError({text!r})\n")
    (tmp_path / "broken.py").write_text("raise ImportError('another reason')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    _, err = start("-m", FIRST_MODULE, "too_large").communicate(timeout=300)
    assert err.startswith("error: out of memory: ")
    assert err.count("\n") == 1
    _, err = start("-m", FIRST_MODULE, "broken").communicate(timeout=300)
    assert "Traceback" in err
