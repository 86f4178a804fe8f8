"""A colleague of a team: a project on servers that only environment variables name."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from tests.project import Project, environment
from thaw.system.processes import die_with_parent

if TYPE_CHECKING:
    from pathlib import Path

_SMALL = {
    "backbone__image_size": 32,
    "backbone__framing": "crop",
    "head__taps": [],
    "warmup_head__fit": "gradient",
    "warmup_head__epochs": 3,
    "augment__crop": 0.45,
    "augment__flip": 0.5,
    "unfreeze__depth": 1,
    "unfreeze__epochs": 1,
    "fold_bn__epochs": 1,
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
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_end_with_pytest,
        )

    def environment(self) -> dict[str, str]:
        """Return the environment of the commands."""
        return {**environment(), **self._variables}

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command, check its exit code, and return its output."""
        start = time.monotonic()
        shown = super().run(*command, code=code)
        print(f"{time.monotonic() - start:6.1f} s  {' '.join(command)}")
        self.output += shown
        return shown

    def with_variables(self, changed: dict[str, str]) -> Colleague:
        """Return the same folder with other variables."""
        return Colleague(self.folder, {**self._variables, **changed})

    def without(self, name: str) -> Colleague:
        """Forget the variable ``name``, and return this colleague."""
        self._variables = {key: each for key, each in self._variables.items() if key != name}
        return self

    def copied_to(self, folder: Path) -> Colleague:
        """Return a copy of the project, with its own cache of DVC."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Colleague(folder, self._variables)

    def tag(self, name: str) -> None:
        """Tag the last commit, as GTO registers a version of a model."""
        self.run("git", *_IDENTITY, "tag", "--annotate", name, "--message", name)

    def commit(self, message: str) -> None:
        """Commit all files of the project."""
        self.run("git", "add", "--all")
        self.run("git", *_IDENTITY, "commit", "--quiet", "--message", message)


def _end_with_pytest() -> None:
    """Make the kernel end this process when pytest is killed; ctrl-C ends it, too."""
    die_with_parent({})
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def digits_project(folder: Path, variables: dict[str, str]) -> Colleague:
    """Return the digits of this repository in ``folder``, committed, for a short run."""
    Project(folder)
    project = Colleague(folder, variables)
    project.set(**_SMALL)
    project.commit("start")
    return project


def new_project(folder: Path, photos: Path, variables: dict[str, str]) -> Colleague:
    """Return a project that `thaw init` has made in ``folder``, committed, for a short run."""
    Colleague(folder.parent, variables).run("thaw", "init", folder.name, "--images", str(photos))
    project = Colleague(folder, variables)
    project.set(**_SMALL)
    project.commit("start")
    return project
