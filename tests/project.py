"""A copy of this repository's project in its own folder, in which tests run commands."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from thaw.system import tool_lock
from thaw.system.project_paths import TOOL_LOCK

ROOT = Path(__file__).parent.parent
_COPIED = ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore", "data/raw", "mlruns")
_BIN = Path(sys.executable).parent


class Project:
    """A project to edit parameters and run commands in."""

    def __init__(self, folder: Path) -> None:
        """Open the project in ``folder``; copy it there first if the folder is empty."""
        self.folder = folder
        if not (folder / ".git").exists():
            self._copy(folder)

    def _copy(self, folder: Path) -> None:
        for name in _COPIED:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "mlflow*", "artifacts")
                shutil.copytree(source, target, ignore=ignored)
            else:
                shutil.copy(source, target)
        (folder / ".dvc").mkdir()
        shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
        tool_lock.write(tool_lock.installed(), folder / TOOL_LOCK)
        self.run("git", "init", "--quiet")
        self.run("git", "add", "--all")
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        self.run("git", *identity, "commit", "--quiet", "--message", "start")

    def set(self, **values: object) -> None:
        """Change parameters: ``set(unfreeze__lr=0.1)`` sets ``unfreeze.lr``."""
        yaml = YAML()
        path = self.folder / "params.yaml"
        content = yaml.load(path.read_text())
        for name, value in values.items():
            *sections, key = name.split("__")
            section = content
            for part in sections:
                section = section.setdefault(part, {})
            section[key] = value
        with path.open("w") as stream:
            yaml.dump(content, stream)

    def small(self) -> None:
        """Set parameters for a short run without regard to accuracy."""
        self.set(
            backbone__image_size=32,
            warmup_head__epochs=4,
            unfreeze__epochs=3,
            unfreeze__depth=3,
            fold_bn__epochs=2,
        )

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in its own process group, with stdout and stderr in one pipe."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A shell starts background jobs with SIGINT ignored; the tests may run in one.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command, check its exit code, and return its output."""
        process = self.start(*command)
        output, _ = process.communicate(timeout=3000)  # a limit of the test itself ends most before
        assert process.returncode == code, f"{command}: {process.returncode}\n{output}"
        return output

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each file of a result: models, histories, metrics, predictions."""
        found = [
            *self.folder.glob("models/**/model.*"),
            *self.folder.glob("reports/*/*.csv"),
            *self.folder.glob("reports/*/report.json"),
            *self.folder.glob("reports/*/metrics.json"),
            *self.folder.glob("data/prepared/*.*"),
        ]
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(found)
            if path.is_file() and path.name != ".gitignore"  # DVC writes it
        }


def environment() -> dict[str, str]:
    """Return the environment of this process with the commands of the virtual environment first."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_"))}
    return {**kept, "PATH": f"{_BIN}{os.pathsep}{kept['PATH']}"}
