from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from thaw.system.processes import LAUNCHER

if TYPE_CHECKING:
    from collections.abc import Callable

PROBE = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child", "true"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has PR_SET_PDEATHSIG")

SLEEP = "print(os.getpid(), flush=True); time.sleep(60)"
CHILD = (
    "import os, time; from thaw.system.processes import die_with_parent; "
    f"die_with_parent(); {SLEEP}"
)
BECOMES_ANOTHER = (
    "import os, sys; from thaw.system.processes import die_with_parent; die_with_parent();"
    f"os.execv(sys.executable, [sys.executable, '-c', 'import os, time; {SLEEP}'])"
)
WITHOUT = f"import os, time; {SLEEP}"
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"

STAGE = """
import sys, time
from thaw.errors import ThawError
from thaw.system.processes import run_main

def main():
    {body}

run_main(main)
"""


# The initialisation of `_elementtree` imports a module in Python; the signal arrives there.
INTERRUPTED_IMPORT = """
    import importlib.abc, os
    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "xml.etree.ElementPath":
                os.kill(os.getpid(), {number})
    sys.meta_path.insert(0, Finder())
    import _elementtree
    print("imported", flush=True)
    time.sleep(60)
"""

# Python drops exceptions of these two functions.
DROPPED = {
    "weak reference": """
    import os, weakref
    class Thing: pass
    thing = Thing()
    reference = weakref.ref(thing, lambda reference: os.kill(os.getpid(), {number}))
    del thing
    print("dropped", flush=True)
    time.sleep(60)
""",
    "finalizer": """
    import os
    class Thing:
        def __del__(self):
            os.kill(os.getpid(), {number})
    Thing()
    print("dropped", flush=True)
    time.sleep(60)
""",
}


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def orphan(program: str) -> int:
    """Return the pid of a process whose parent was killed after it had started ``program``."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not is_gone(pid)
        parent.kill()
    return pid


def stage(body: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STAGE.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts background jobs with SIGINT ignored, and a test run may be one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@linux
@pytest.mark.parametrize("program", [CHILD, BECOMES_ANOTHER], ids=["as itself", "after exec"])
def test_a_child_dies_with_its_killed_parent(program: str) -> None:
    pid = orphan(program)
    assert wait_until(lambda: is_gone(pid))


@linux
def test_a_child_without_the_setting_survives_its_parent() -> None:
    # Without this the test above would pass on a machine that kills orphans anyway.
    pid = orphan(WITHOUT)
    try:
        assert not wait_until(lambda: is_gone(pid), seconds=0.5)
    finally:
        os.kill(pid, signal.SIGKILL)


@linux
@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(PROBE, capture_output=True).returncode != 0,
    reason="this machine gives no process namespaces",
)
def test_a_stage_whose_parent_is_the_first_process_of_a_container_survives() -> None:
    # `docker run IMAGE dvc repro`: DVC is process 1, and every stage's parent is 1 from the start.
    child = "from thaw.system.processes import die_with_parent; die_with_parent(); print('alive')"
    done = subprocess.run(
        [*PROBE[:-1], sys.executable, "-c", PARENT, child],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == "alive\n"


@linux
@pytest.mark.parametrize(
    ("launcher", "lives"), [("parent", True), ("none", True), ("another", False)]
)
def test_a_child_whose_launcher_has_ended_does_not_start(launcher: str, lives: bool) -> None:
    # It died between the fork and the child's request to the kernel.
    named = {"parent": {LAUNCHER: str(os.getpid())}, "none": {}, "another": {LAUNCHER: "1"}}
    clean = {key: value for key, value in os.environ.items() if key != LAUNCHER}
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "from thaw.system.processes import die_with_parent; die_with_parent(); print('alive')",
        ],
        env=clean | named[launcher],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.stdout, done.returncode) == (("alive\n", 0) if lives else ("", -signal.SIGKILL))


def test_an_error_of_the_user_is_a_line_and_exit_code_2() -> None:
    process = stage("raise ThawError('params.yaml: seed is missing')")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert err == "error: params.yaml: seed is missing\n"
    assert not out


def test_an_unexpected_error_keeps_its_traceback() -> None:
    process = stage("raise ValueError('a bug')")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Traceback" in err
    assert "a bug" in err


def test_an_ending_process_does_not_search_its_objects_for_cycles() -> None:
    process = stage(
        "import os, thaw\n"
        "    said = lambda _, write=os.write: write(1, b'collected')\n"
        "    thaw.cycle = type('Cycle', (), {'__del__': said})()\n"
        "    thaw.cycle.itself = thaw.cycle\n"
        "    print('done')"
    )
    assert process.communicate(timeout=300) == ("done\n", "")
    assert process.returncode == 0


def test_a_normal_end_is_exit_code_0() -> None:
    process = stage("print('done')")
    assert process.communicate(timeout=300) == ("done\n", "")
    assert process.returncode == 0


def require_interrupted(process: subprocess.Popen[str], printed: str) -> None:
    """Wait for a stage, and require the line and the exit code of an interrupt."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert out == printed
    assert err == "interrupted: the same command continues from the last checkpoint\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU])
def test_a_stopped_stage_cleans_up_and_states_how_to_continue(number: signal.Signals) -> None:
    # A try-finally stands for the MLflow run, which is marked KILLED on the way out.
    process = stage(
        "\n    try: print('up', flush=True); time.sleep(60)\n    finally: print('cleaned up')"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    require_interrupted(process, "cleaned up\n")


@pytest.mark.parametrize(
    ("number", "line", "code"),
    [
        (signal.SIGTERM, "stopped by SIGTERM: again\n", 143),
        (signal.SIGINT, "interrupted: again\n", 130),
    ],
)
def test_a_verb_says_which_signal_has_ended_it_also_where_typer_hides_it(
    number: signal.Signals, line: str, code: int
) -> None:
    program = (
        "import os, typer; from thaw.system.processes import run_main; app = typer.Typer()\n"
        f"@app.command()\ndef verb(): os.kill(os.getpid(), {int(number)})\n"
        "run_main(app, after_interrupt='again', is_verb=True)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stderr.lstrip(), done.returncode) == (line, code)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_last_moments_of_python_leaves_the_exit_code(
    number: signal.Signals,
) -> None:
    process = stage(f"""
    import os
    class Last:
        def __del__(self, kill=os.kill, pid=os.getpid(), write=os.write):
            kill(pid, {int(number)})
            write(1, b"after it\\n")
    sys.last = Last()  # deleted when Python has reset the handlers
    raise ThawError("no data")
""")
    assert process.communicate(timeout=300) == ("after it\n", "error: no data\n")
    assert process.returncode == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_extension_module_is_initialised_before_the_interrupt(number: signal.Signals) -> None:
    # An exception that reaches a module in C++ at that time aborts the process (exit code -6).
    require_interrupted(stage(INTERRUPTED_IMPORT.format(number=int(number))), "imported\n")


@pytest.mark.parametrize("place", DROPPED)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_python_drops_is_sent_again(number: signal.Signals, place: str) -> None:
    require_interrupted(stage(DROPPED[place].format(number=int(number))), "dropped\n")


@pytest.mark.parametrize("place", DROPPED)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_dropped_interrupt_of_a_process_that_ignores_others_is_sent_again(
    number: signal.Signals, place: str
) -> None:
    once = "\n    from thaw.system.processes import interrupt_once; interrupt_once()"
    require_interrupted(stage(once + DROPPED[place].format(number=int(number))), "dropped\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_second_interrupt_does_not_disturb_the_clean_up(number: signal.Signals) -> None:
    process = stage(f"""
    import os, signal
    from thaw.system.processes import interrupt_once
    interrupt_once()
    try: os.kill(os.getpid(), {int(number)})
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), {int(number)})
        print("cleaned up", flush=True)
""")
    require_interrupted(process, "cleaned up\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_an_error_is_examined_is_one_line(number: signal.Signals) -> None:
    process = stage(f"""
    import os
    class Error(ThawError):
        def __str__(self):
            os.kill(os.getpid(), {int(number)})
            return "late"
    raise Error
""")
    require_interrupted(process, "")


def test_another_exception_that_python_drops_is_still_reported() -> None:
    process = stage("""
    class Thing:
        def __del__(self):
            raise ValueError("lost")
    Thing()
""")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "ValueError: lost" in err


def test_a_message_that_quotes_a_long_value_is_shortened_in_the_middle() -> None:
    process = stage("raise ThawError('first line\\nvalue ' + 'x' * 100_000 + ' end')")
    _, err = process.communicate(timeout=300)
    first, second = err.splitlines()
    assert first == "error: first line"
    assert second.startswith("value xxx")
    assert second.endswith("xxx end")
    assert len(second) < 2100


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=["ASCII", "Latin-1"],
)
def test_characters_that_the_locale_cannot_encode_are_escaped(locale: dict[str, str]) -> None:
    body = "from thaw.system.console import print_line; print_line('class \\u732b, 5 \\u2588')"
    found = subprocess.run(
        [sys.executable, "-c", STAGE.format(body=body)],
        env={**os.environ, **locale}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == "class \\u732b, 5 \\u2588\n"
