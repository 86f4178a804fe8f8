"""A colleague of a team: a project on servers that only environment variables name."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

from tests.project import Project, environment

if TYPE_CHECKING:
    from pathlib import Path

_SMALL = {
    "backbone__image_size": 32,
    "warmup_head__epochs": 3,
    "unfreeze__depth": 1,
    "unfreeze__epochs": 1,
    "fold_bn__epochs": 0,
}
_IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org")


class Colleague(Project):
    """A folder in which commands run with ``variables``; ``output`` is all that they printed."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        """Use ``folder`` as it is."""
        self.folder = folder
        self.output = ""
        self._variables = variables

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command as :meth:`Project.start` does, with the variables of the servers."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**environment(), **self._variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command, check its exit code, and return its output."""
        shown = super().run(*command, code=code)
        self.output += shown
        return shown

    def commit(self, message: str) -> None:
        """Commit all files of the project."""
        self.run("git", "add", "--all")
        self.run("git", *_IDENTITY, "commit", "--quiet", "--message", message)


def new_project(folder: Path, photos: Path, variables: dict[str, str]) -> Colleague:
    """Return a project that `thaw init` has made in ``folder``, committed, for a short run."""
    Colleague(folder.parent, variables).run("thaw", "init", folder.name, "--images", str(photos))
    project = Colleague(folder, variables)
    project.set(**_SMALL)
    project.commit("start")
    return project


def files_with(texts: list[str], *folders: Path) -> list[str]:
    """Return the files below ``folders`` that contain one of ``texts``."""
    return [
        str(path)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and any(text.encode() in path.read_bytes() for text in texts)
    ]
