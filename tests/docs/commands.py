"""Commands of documentation pages: their extraction, and a shell that runs them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

from tests.docs.not_run import LINES, is_listed
from tests.project import ROOT, environment
from tools.services.server_process import ServerProcess, answers, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SERVERS = ("thaw ui", "thaw serve")


_ANY_BLOCK = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
# What stands between backquotes and begins with one of these, or with a variable, is a command.
_PROGRAM = re.compile(
    r"(?:[A-Z_]+=\S+ )*"
    r"(?:thaw|dvc|git|make|mlflow|python|pip|pytest|docker|caddy|kubectl|sbatch|openssl|hf|accelerate"
    r"|curl|optuna-dashboard|source|exec|\.\.\.|deploy/\S+) (?!==)\S"
)
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def python_of(page: Path) -> list[str]:
    """Return the fenced ``python`` blocks of a page."""
    return _PYTHON.findall(page.read_text(encoding="utf-8"))


def sentences_of(page: Path) -> list[str]:
    """Return the commands with arguments in the sentences and tables of a page, each once."""
    text = _ANY_BLOCK.sub("", page.read_text(encoding="utf-8"))
    return list(dict.fromkeys(code for code in _CODE.findall(text) if _PROGRAM.match(code)))


def blocks_of(page: Path) -> list[str]:
    """Return the fenced ``bash`` blocks of a page, whose commands may go over several lines."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def blocks_to_run(page: str) -> list[str]:
    """Return the blocks of a page without those, and without the lines, that are run elsewhere."""
    found = [each for each in blocks_of(ROOT / page) if not is_listed(page, each)]
    kept = ("".join(_without_lines(block.splitlines(keepends=True))) for block in found)
    return [block for block in kept if block]


def _without_lines(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith(tuple(LINES))]


def commands_of(page: Path) -> list[str]:
    """Return the commands in the fenced ``bash`` blocks of a page, without comments, in order."""
    return commands_in(page.read_text(encoding="utf-8"))


def commands_in(text: str) -> list[str]:
    """Return the commands in the fenced ``bash`` blocks of a text."""
    found = []
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                found += [part.strip() for part in _without_comment(line).split(";")]
    return found


def _without_comment(line: str) -> str:
    return re.sub(r"\s+# .*$", "", line).strip()


class Shell:
    """Runs documented commands in one folder after the other, as ``cd`` says."""

    def __init__(self, folder: Path, replaced: Mapping[str, str]) -> None:
        """Start in ``folder``; ``replaced`` has texts of the page, and what a test uses instead."""
        self.folder = folder
        self._replaced = replaced

    def run(self, command: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command, check its exit code, and return its output; stop a server again."""
        for old, new in self._replaced.items():
            command = command.replace(old, new)
        if command.startswith("cd "):
            self.folder = self.folder / command.removeprefix("cd ")
            return ""
        if command.startswith(_SERVERS):
            return self._run_server(command)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=environment() | {"GIT_AUTHOR_NAME": "t", "GIT_COMMITTER_NAME": "t", "EMAIL": "t@e"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode in codes, f"{command}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def _run_server(self, command: str) -> str:
        port = free_port()
        log = self.folder / "server.log"
        words = [*shlex.split(command), "--port", str(port)]
        server = ServerProcess(words, {**os.environ, **environment()}, log)
        try:
            server.wait_until(lambda: answers(port))
        finally:
            server.stop()
        return log.read_text()
