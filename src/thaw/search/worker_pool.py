"""The processes that run trials: started, watched, replaced when killed, ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thaw.errors import EXIT_CODE, ThawError
from thaw.system.launching import ENVIRONMENT, accelerate_command
from thaw.system.processes import cores, die_with_parent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thaw.config.process_sections import Launch

_MODULE = "thaw.search.worker"
_PATIENCE = 60  # seconds that a worker may take to give its trial back
_MOST_DEATHS = 20  # of one worker's place, before something is wrong beside the trials


@dataclass
class Crew:
    """``count`` workers on one study; their output goes into ``folder``."""

    count: int
    launch: Launch
    folder: Path
    arguments: list[str]
    devices: int = 0
    _running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _deaths: dict[int, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[Crew]:
        """The workers run within this; what is left of them is ended, and waited for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            for number in range(self.count):
                self._start(number)
            yield self
        finally:
            self._end()

    def is_working(self) -> bool:
        """Whether any still works; one that was killed is replaced.

        Raises:
            ThawError: a worker failed by itself; what it said is passed on.
        """
        for number, process in list(self._running.items()):
            code = process.poll()
            if code is None:
                continue
            del self._running[number]
            if code == 0:
                continue
            self._deaths[number] = self._deaths.get(number, 0) + 1
            was_killed = code < 0 or code > 128
            if not was_killed or self._deaths[number] > _MOST_DEATHS:
                raise ThawError(self._last_words(number, code))
            self._start(number)
        return bool(self._running)

    def _start(self, number: int) -> None:
        threads = self.launch.threads or max(1, cores() // (self.count * self.launch.processes))
        environment = {**ENVIRONMENT, **os.environ, "OMP_NUM_THREADS": str(threads)}
        environment["PYTHONSAFEPATH"] = "1"  # for the processes that Accelerate starts, too
        if self.devices > 1:
            environment["CUDA_VISIBLE_DEVICES"] = self._devices(number)
        command = [sys.executable, "-P", "-m", _MODULE]
        if self.launch.processes > 1:
            command = accelerate_command(_MODULE, self.launch, threads)
        command += ["--number", str(number), *self.arguments]
        with self._log(number).open("ab") as log:
            # In a session of its own: ctrl-C reaches it through this process, once.
            self._running[number] = subprocess.Popen(
                command,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _devices(self, number: int) -> str:
        """The devices of this worker, among those that the user lets this process see."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = visible.split(",") if visible else [str(index) for index in range(self.devices)]
        each = self.launch.processes
        return ",".join(names[(number * each + rank) % self.devices] for rank in range(each))

    def _end(self) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        self._running.clear()

    def _log(self, number: int) -> Path:
        return self.folder / f"worker-{number}.log"

    def _last_words(self, number: int, code: int) -> str:
        path = self._log(number)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if code == EXIT_CODE and said:
            return said[-1]
        last = next((line for line in reversed(lines) if line.strip()), "nothing")
        return f"worker {number} ended with exit code {code}; it said: {last} ({path})"
