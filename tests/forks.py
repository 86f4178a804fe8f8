"""Run stages and verbs in forks of a process that has imported all, and kill them with SIGKILL."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from accelerate import PartialState
from accelerate.state import AcceleratorState

from tests.kill_at_write import Killer
from tests.stage_runs import remove_outputs
from thaw.system.processes import run_main

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from tests.project import Project

# What stages import in the middle of their work, for seconds: a fork has it from its parent.
_LIBRARIES = (
    "cleanlab.filter",
    "matplotlib.figure",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "thaw.registry.register",
    "thaw.tracking.live_run",
    "thaw.tracking.result_run",
)
_LONGEST = 300.0  # seconds of a stage
_GRACE = 10.0  # seconds between SIGTERM and SIGKILL
_LATEST = 2.5  # seconds within which a kill comes
_MOST_WRITES = 30


@dataclass(frozen=True)
class Kill:
    """A moment of a kill: a number of seconds, or a write; and who is killed."""

    rank: int  # who is killed alone
    target: str  # "group" or "process"
    seconds: float | None
    write: int
    when: str

    @classmethod
    def drawn(cls, generator: random.Random, processes: int) -> Kill:
        """Return a kill at random."""
        by_write = generator.random() < 0.5
        return cls(
            rank=generator.randrange(processes),
            target=generator.choice(["group", "process"]),
            seconds=None if by_write else generator.uniform(0, _LATEST),
            write=generator.randint(1, _MOST_WRITES),
            when=generator.choice(["before", "after"]),
        )


def in_child(function: Callable[..., Any], *arguments: object) -> Any:
    """Return what ``function`` returns in a child: MLflow keeps the store of a process for ever.

    A child that ends by itself returns None.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(function(*arguments)))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        return None
    finally:
        process.join()


class Forks:
    """Runs stages and verbs of a project in forks of this process."""

    def __init__(self, project: Project, processes: int) -> None:
        """Run in ``project``; a training stage has ``processes`` processes."""
        self.project = project
        self.processes = processes
        self._log = project.folder.parent / f"{project.folder.name}.log"

    @property
    def output(self) -> str:
        """The lines that the children of the last run printed."""
        return self._log.read_text()

    def stages(self, *stages: str) -> None:
        """Run ``stages`` in the same children, one after the other; all of them have ended then.

        Raises:
            AssertionError: a stage fails.
        """
        modules = [_stage_module(stage) for stage in stages]

        def run_all() -> None:
            for module in modules:
                module.main()
                PartialState().wait_for_everyone()  # until the first one has written the outputs

        self.run([run_all] * self.processes, "stages", None)

    def stage(self, stage: str, kill: Kill | None = None) -> bool:
        """Run ``stage`` after its outputs were removed, as DVC does; return whether it was killed.

        Raises:
            AssertionError: the stage fails without a kill, or prints a traceback.
        """
        with contextlib.chdir(self.project.folder):
            remove_outputs(stage)
        module = _stage_module(stage)
        count = 1 if stage == "prepare" else self.processes
        return self.run([lambda: run_main(module.main)] * count, stage, kill)

    def verb(self, *arguments: str, kill: Kill | None = None) -> bool:
        """Run ``thaw`` with ``arguments``."""
        from thaw.cli.app import run

        return self.run([lambda: _with_arguments(["thaw", *arguments], run)], arguments[0], kill)

    def dvc_commit(self) -> None:
        """Write ``dvc.lock``."""
        from dvc.cli import main

        self.run([lambda: sys.exit(main(["commit", "--force", "--quiet"]))], "commit", None)

    def run(self, ranks: list[Callable[[], object]], name: str, kill: Kill | None) -> bool:
        """Run a function in each of several children; return whether one of them was killed.

        Raises:
            AssertionError: one fails without a kill, prints a traceback, or does not end.
        """
        self._log.write_text("")
        port = _free_port()
        pids: list[int] = []
        for rank, function in enumerate(ranks):
            pid = os.fork()
            if pid == 0:
                _become_child(self.project.folder, self._log, pids[0] if pids else 0)
                if len(ranks) > 1:
                    os.environ |= _of_group(rank, len(ranks), port)
                if kill and kill.seconds is None and rank == kill.rank % len(ranks):
                    killer = Killer(kill.write, kill.when, kill.target)
                    killer.install(with_database=name in {"evaluate", "promote"})
                _end_with(function)
            pids.append(pid)
            _join_group(pid, pids[0])
        if kill and kill.seconds is not None:
            time.sleep(kill.seconds)
            with contextlib.suppress(ProcessLookupError):
                if kill.target == "group":
                    os.killpg(pids[0], signal.SIGKILL)
                else:
                    os.kill(pids[kill.rank % len(pids)], signal.SIGKILL)
        codes = _codes(pids)
        output = self.output
        assert "Traceback" not in output, f"{name}: {output}"
        # Without a kill it is the harness that ends the others after one has failed.
        killed = kill is not None and -signal.SIGKILL in codes
        assert killed or codes == [0] * len(codes), f"{name} {kill}: {codes}\n{output}"
        return killed


def _stage_module(stage: str) -> ModuleType:
    for name in () if stage == "prepare" else _LIBRARIES:
        import_module(name)
    return import_module(f"thaw.stages.{stage}")


def _join_group(pid: int, group: int) -> None:
    """Move a child into a group of processes, its own for 0.

    The child and its parent both do so, because either can be first. It fails if the first child of
    the group, or this one, was killed already.
    """
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, group)


def _become_child(folder: Path, log: Path, group: int) -> None:
    _join_group(0, group)
    os.chdir(folder)
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    AcceleratorState._reset_state(reset_partial_state=True)  # of what ran before the fork


def _of_group(rank: int, size: int, port: int) -> dict[str, str]:
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    return {
        **{name: str(number) for name, number in ranks.items()},
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _end_with(function: Callable[[], object]) -> NoReturn:
    """End this child as Python ends: with its threads and what was registered for the end."""
    code = 1
    try:
        try:
            function()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _codes(pids: list[int]) -> list[int]:
    """Wait for the children; return their exit codes, negative for a signal.

    As torchrun does, the others get SIGTERM when one has failed, and SIGKILL some time later.
    """
    deadline, sent = time.monotonic() + _LONGEST, 0
    found: dict[int, int] = {}
    while len(found) < len(pids):
        for pid in set(pids) - set(found):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                found[pid] = os.waitstatus_to_exitcode(status)
        now = time.monotonic()
        if any(found.values()) and sent == 0:
            deadline, sent = now + _GRACE, signal.SIGTERM
            _send(set(pids) - set(found), signal.SIGTERM)
        elif now > deadline:
            assert sent, f"a process still runs {_LONGEST} s after its start: {found}"
            _send(set(pids) - set(found), signal.SIGKILL)
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pids[0], 0)  # processes that the stage has started end with it
        time.sleep(1.0)
    return [found[pid] for pid in pids]


def _send(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _with_arguments(arguments: list[str], function: Callable[[], object]) -> None:
    sys.argv = arguments
    function()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
