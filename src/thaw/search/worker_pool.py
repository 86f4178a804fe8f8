"""The worker processes of a search: started, watched, replaced when killed, stopped together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thaw.errors import EXIT_CODE, ThawError
from thaw.search import outages
from thaw.system.environment import clean
from thaw.system.interrupts import FIRST_MODULE
from thaw.system.launching import ENVIRONMENT, accelerate_command
from thaw.system.process_group import process_group
from thaw.system.processes import cores, die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from thaw.config.process_sections import Launch

_MODULE = "thaw.search.worker"
_STOP_TIMEOUT = 60  # seconds in which a worker may put its trial back into the queue
_MAX_DEATHS = 20  # of one worker, after which the cause is not in the trials


@dataclass
class WorkerPool:
    """``count`` workers on one study; worker N writes its output to ``folder/worker-N.log``.

    ``arguments`` are those of ``thaw.search.worker``. ``devices`` are names of GPUs, as in
    CUDA_VISIBLE_DEVICES; the workers take turns on them. Without any, a worker sees no GPU.
    ``wait_for_storage`` returns when the database of the studies answers, or raises.
    """

    count: int
    launch: Launch
    folder: Path
    arguments: list[str]
    devices: tuple[str, ...] = ()
    wait_for_storage: Callable[[], None] = lambda: None
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _deaths: dict[int, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def running(self) -> Iterator[WorkerPool]:
        """Start the workers for the block; at its end stop those that still run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            for number in range(self.count):
                self._start(number)
            yield self
        finally:
            self._stop()

    def is_running(self) -> bool:
        """Return whether any worker still runs; start those again that another one can replace.

        These are the ones that were killed, and those whose database did not answer for a while.

        Raises:
            ThawError: a worker failed by itself; the message is the worker's own.
        """
        for number, process in list(self._processes.items()):
            code = process.poll()
            if code is None:
                continue
            del self._processes[number]
            if code == 0:
                continue
            self._deaths[number] = self._deaths.get(number, 0) + 1
            was_killed, lost_storage = code < 0 or code > 128, code == outages.EXIT_CODE
            is_replaced = was_killed or lost_storage
            if not is_replaced or self._deaths[number] > _MAX_DEATHS:
                raise ThawError(self._failure_message(number, code))
            if lost_storage:
                self.wait_for_storage()
            self._start(number)
        return bool(self._processes)

    def _start(self, number: int) -> None:
        each = process_group(self.launch).processes
        threads = self.launch.threads or max(1, cores() // (self.count * each))
        environment = {**ENVIRONMENT, **os.environ, "OMP_NUM_THREADS": str(threads)}
        clean(environment)
        environment["CUDA_VISIBLE_DEVICES"] = self._visible_devices(number)
        command = [sys.executable, "-P", "-m", FIRST_MODULE, _MODULE]
        if each > 1:
            command = accelerate_command(_MODULE, self.launch, threads)
        command += self.arguments
        with self._log_file(number).open("ab") as log:
            # A new session: ctrl-C reaches the worker only through this process, once.
            self._processes[number] = subprocess.Popen(
                command,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _visible_devices(self, number: int) -> str:
        """Return the devices of worker ``number``: one for each of its processes, at most all."""
        count = len(self.devices)
        each = min(process_group(self.launch).processes, count)
        return ",".join(self.devices[(number * each + rank) % count] for rank in range(each))

    def _stop(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
        self._processes.clear()

    def _log_file(self, number: int) -> Path:
        return self.folder / f"worker-{number}.log"

    def _failure_message(self, number: int, code: int) -> str:
        path = self._log_file(number)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if code in {EXIT_CODE, outages.EXIT_CODE} and errors:
            return errors[-1]
        last = next((line for line in reversed(lines) if line.strip()), "nothing")
        return f"worker {number} ended with exit code {code}; its last output: {last} ({path})"
