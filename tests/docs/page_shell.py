"""A shell that runs the blocks of a page one after the other, with the servers that they start."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.project import environment
from tools.services.server_process import ServerProcess, answers, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERVER = re.compile(
    r"^(?:[A-Z_]+=\S+ )*(?:thaw serve|mlflow models serve|optuna-dashboard) .*$", re.MULTILINE
)
_PORT = re.compile(r"--port \d+")
_DOCUMENTED_PORT = re.compile(r"localhost:\d+")


class PageShell:
    """Keeps the folder from one block to the next, as the reader's shell does."""

    def __init__(self, folder: Path, programs: Path, replaced: Mapping[str, str]) -> None:
        """Start in ``folder``; the programs in ``programs`` come first.

        ``replaced`` has texts of the page, and what a test uses instead.
        """
        self.folder = folder
        self.replaced = dict(replaced)
        self._programs = programs
        self._home = folder / "home"
        self._home.mkdir(exist_ok=True)
        self._server: ServerProcess | None = None
        self._port = 0
        self.run("git config --global user.name NAME; git config --global user.email N@example.org")

    def run(self, script: str, code: int = 0) -> str:
        """Run a block as a script that ends at the first failure; return what it prints.

        A server of the block is started before its other lines run, and goes on until the next
        server starts.
        """
        script = self._with_replacements(script).replace("\\\n", " ")
        server = _SERVER.search(script)
        if server is not None:
            self._start(script[: server.start()], server[0])
            script = script[server.end() :]
        script = _DOCUMENTED_PORT.sub(f"localhost:{self._port}", script)
        here = self._home / "working-folder"
        done = subprocess.run(
            ["bash", "-c", f"trap 'pwd > {here}' EXIT\nset -e -o pipefail\n{script}"],
            cwd=self.folder,
            env=self._environment(with_forks=True),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == code, f"{script}: {done.returncode}\n{done.stdout}"
        for noise in ("Traceback", "Warning:"):
            assert noise not in done.stdout, f"{script}\n{done.stdout}"
        self.folder = Path(here.read_text().strip())
        return done.stdout

    @property
    def address(self) -> str:
        """The address of the server of the last block with one."""
        return f"http://localhost:{self._port}"

    def stop(self) -> None:
        """Stop the server, if one runs."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _start(self, before: str, command: str) -> None:
        self.stop()
        self._port = port = free_port()
        command = _PORT.sub("", re.sub(r"(\s#.*|\s&)$", "", command)) + f" --port {port}"
        words = ["bash", "-c", f"set -e\n{before}\nexec env {command}"]
        log = self.folder / "server.log"
        self._server = ServerProcess(words, self._environment(with_forks=False), log)
        self._server.wait_until(lambda: answers(port))

    def _with_replacements(self, text: str) -> str:
        for old, new in self.replaced.items():
            text = text.replace(old, new)
        return text

    def _environment(self, *, with_forks: bool) -> dict[str, str]:
        variables = environment()
        if with_forks:
            variables["PATH"] = f"{self._programs}:{variables['PATH']}"
        return {**variables, "HOME": str(self._home), "XDG_CONFIG_HOME": str(self._home / "config")}
