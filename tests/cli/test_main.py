from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

# The signal waits for the first instruction of the command if it comes before.
PROGRAM = (
    "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM});"
    "print('started', flush=True);"
    "from thaw.cli.main import main; main()"
)
QUICK = [0.0, 0.1, 0.3, 0.6]
SOAK = [round(0.15 * step, 2) for step in range(5, 21)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "seconds", [*QUICK, *(pytest.param(each, marks=pytest.mark.soak) for each in SOAK)]
)
def test_a_verb_that_is_interrupted_at_any_moment_prints_one_line(
    number: signal.Signals, seconds: float
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "backbones", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts background jobs with SIGINT ignored, and a test run may be one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    time.sleep(seconds)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    if process.returncode == 0 and seconds > 1:
        return  # the verb was faster
    cause, code = ("interrupted", 130) if number == signal.SIGINT else ("stopped by SIGTERM", 143)
    assert err == f"{cause}: run the same command again\n"
    assert process.returncode == code
