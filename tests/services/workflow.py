"""Run the steps of a GitHub workflow on this machine, with what GitHub gives them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from tools.check_deploy import DEPLOY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
_OF_CHECKOUT, _OF_INSTALLATION = "actions/checkout", "Install"
# The page of the pull request is on GitHub: what would be posted is written to a file.
_GH = """#!/bin/sh
printf '%s\\n' "$*" > "$RUNNER_TEMP/gh.txt"
cat "$RUNNER_TEMP/comment.md" >> "$RUNNER_TEMP/gh.txt"
"""


@dataclass
class Runner:
    """A machine of GitHub with a fresh checkout of ``remote``, a bare repository.

    ``values`` are those of expressions such as ``github.head_ref``. ``printed`` is the output of
    the steps.
    """

    folder: Path
    remote: Path
    values: Mapping[str, str]
    variables: Mapping[str, str]
    printed: str = ""
    outputs: dict[str, str] = field(default_factory=dict)

    def run(self, job: str) -> list[str]:
        """Run the steps of ``job``; return the names of those that failed, at most one."""
        workflow = YAML(typ="safe").load((DEPLOY / "github" / "thaw-pipeline.yml").read_text())
        self.folder.mkdir()
        self._write_gh()
        for step in workflow["jobs"][job]["steps"]:
            if step.get("uses", "").startswith(_OF_CHECKOUT):
                self._check_out(step["with"])
            elif "run" in step and step["name"] != _OF_INSTALLATION:
                variables = self._resolved({**workflow["env"], **step.get("env", {})})
                if self._run_step(step, variables):
                    return [step["name"]]
        return []

    @property
    def posted(self) -> str:
        """The arguments of `gh`, and the comment."""
        return (self.folder / "gh.txt").read_text()

    def _write_gh(self) -> None:
        path = self.folder / "bin" / "gh"
        path.parent.mkdir()
        path.write_text(_GH)
        path.chmod(0o755)

    def _check_out(self, options: Mapping[str, Any]) -> None:
        depth = ["--depth", str(options["fetch-depth"])] if options.get("fetch-depth") else []
        branch = self._resolved({"ref": options.get("ref", "main")})["ref"]
        command = ["git", "clone", "--quiet", "--branch", branch, *depth]
        address = self.remote.as_uri()  # a path would ignore the depth
        subprocess.run([*command, address, str(self.folder / "project")], check=True)

    def _resolved(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return ``variables`` with the values of their expressions; a missing secret is empty."""
        values = {**self.values, **self.outputs}
        return {
            name: _EXPRESSION.sub(lambda found: values.get(found[1], ""), str(text))
            for name, text in variables.items()
        }

    def _run_step(self, step: Mapping[str, Any], variables: Mapping[str, str]) -> int:
        """Run a step as GitHub does with ``shell: bash``; return its exit code."""
        output = self.folder / "output"
        output.touch()
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.folder / "project",
            env={
                **self.variables,
                **variables,
                "PATH": f"{self.folder / 'bin'}:{self.variables['PATH']}",
                "CI": "true",
                "GITHUB_ACTIONS": "true",
                "GITHUB_SHA": self.values["github.sha"],
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
                "RUNNER_TEMP": str(self.folder),
                "HOME": str(self.folder),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.printed += f"\n== {step['name']}: {done.returncode}\n{done.stdout}"
        lines = [line.split("=", 1) for line in output.read_text().splitlines()]
        identifier = step.get("id", "")
        self.outputs |= {f"steps.{identifier}.outputs.{name}": value for name, value in lines}
        return done.returncode
