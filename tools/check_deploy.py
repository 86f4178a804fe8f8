"""Check the files in `deploy/` with the validators of their formats: `make check-deploy`.

Nothing is started. Caddy and shellcheck come from Debian, installed where they are missing and
apt-get works; the others come from PyPI with the extra `deploy`. A missing validator is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.debian_packages import MissingPackageError, install

DEPLOY = Path(__file__).parent.parent / "deploy"
_KUBERNETES = ("1.31", "1.37")  # versions of the API: the oldest and the newest that are checked
_OF_DEBIAN = ("caddy", "shellcheck")


def commands(folder: Path) -> list[list[str]]:
    """Return the commands that check the files in ``folder``."""
    manifests = [str(path) for path in sorted((folder / "kubernetes").glob("*.yaml"))]
    workflows = [str(path) for path in sorted((folder / "github").glob("*.yml"))]
    scripts = [str(path) for path in sorted([*folder.glob("*.sh"), *folder.glob("slurm/*.sbatch")])]
    schema = ["check-jsonschema", "--quiet", "--builtin-schema"]
    return [
        ["hadolint", str(folder / "containers" / "Dockerfile")],
        [*schema, "vendor.compose-spec", str(folder / "compose" / "compose.yaml")],
        [*schema, "vendor.github-workflows", *workflows],
        *(
            ["kubernetes-validate", "--quiet", "--strict", "-k", version, *manifests]
            for version in _KUBERNETES
        ),
        [
            "caddy",
            "validate",
            "--adapter",
            "caddyfile",
            "--config",
            str(folder / "compose/Caddyfile"),
        ],
        ["shellcheck", "--severity", "warning", *scripts],
        *(["bash", "-n", script] for script in scripts),
    ]


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of this process and those of the example of `.env`."""
    lines = (folder / "compose" / "example.env").read_text(encoding="utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    upstreams = {"MLFLOW_UPSTREAM": "127.0.0.1:5000", "SERVE_UPSTREAM": "127.0.0.1:8000"}
    return {**os.environ, **example, **upstreams}


def main() -> int:
    """Run the validators; return 1 if one finds a problem or is missing."""
    failed = False
    for command in commands(DEPLOY):
        if missing := _missing(command[0]):
            failed = True
            print(f"not checked: {missing}: {' '.join(command)}", file=sys.stderr)
            continue
        done = subprocess.run(
            command, env=environment(DEPLOY), capture_output=True, text=True, check=False
        )
        if done.returncode:
            failed = True
            print(f"{' '.join(command)}:\n{done.stdout}{done.stderr}", file=sys.stderr)
    print("deploy/: " + ("problems were found" if failed else "no problems"))
    return int(failed)


def _missing(program: str) -> str | None:
    """Return why a program cannot run, or None; install it where that is possible."""
    if shutil.which(program) is not None:
        return None
    if program not in _OF_DEBIAN:
        return f"{program} is not installed: run `pip install -e '.[deploy]'`"
    try:
        install(program)
    except MissingPackageError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
