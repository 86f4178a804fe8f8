"""Serve a registered model in an environment that MLflow builds for it from a folder of wheels.

That is ``mlflow models serve --env-manager virtualenv`` with ``PIP_FIND_LINKS``. Two parts are
replaced, so that it takes a minute and no gigabytes: pip finds all requirements but thaw in the
environment that runs this program, and a program in place of pyenv names the Python of this
environment instead of installing one.
"""

from __future__ import annotations

import base64
import os
import platform
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

_OF_THAW = ("thaw", "_editable_impl_thaw", "__editable__")  # starts of names in site-packages
_SECONDS = 300
_PROGRAMS = {
    "pyenv": '[ "$1" = root ] && echo "{folder}"; exit 0',
    # The environment has no program of a package that is only linked.
    "uvicorn": 'exec python -m uvicorn "$@"',
}


def check_served_environment(project: Path, model: str, wheels: Path, folder: Path) -> None:
    """Serve ``model`` of ``project`` in an environment with thaw from ``wheels``; ask for a label.

    ``folder`` is a new folder for the environment.
    """
    packages, programs = folder / "packages", folder / "bin"
    _link_packages(packages)
    _write_programs(programs)
    own = str(Path(sys.executable).parent)  # with another thaw
    path = [part for part in os.environ["PATH"].split(os.pathsep) if part != own]
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
        "MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlruns/mlflow.db",
        "MLFLOW_ENV_ROOT": str(folder / "environments"),
        "PATH": os.pathsep.join([str(programs), *path]),
        "PIP_FIND_LINKS": str(wheels),
        "PIP_QUIET": "1",
        "PYTHONPATH": str(packages),  # pip takes what is there as installed
    }
    with _server(model, variables, project) as address:
        image = next((project.parent / "photos").glob("*/*.png"))
        body = {"inputs": [base64.b64encode(image.read_bytes()).decode()]}
        answer = requests.post(f"{address}/invocations", json=body, timeout=60)
        answer.raise_for_status()
        (prediction,) = answer.json()["predictions"]
    assert prediction["label"] in {"blue", "green", "red"}, prediction
    assert abs(sum(prediction["probabilities"].values()) - 1) < 1e-4, prediction
    (python,) = (folder / "environments").glob("*/bin/python")
    program = [str(python), "-c", "import thaw; print(thaw.__file__)"]
    found = subprocess.run(program, env=variables, check=True, capture_output=True, text=True)
    assert Path(found.stdout).is_relative_to(folder / "environments"), found.stdout
    sys.stdout.write(f"MLflow served {model} with {found.stdout}")


def _link_packages(folder: Path) -> None:
    """Write links to all installed packages but thaw into the new folder ``folder``."""
    folder.mkdir(parents=True)
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(_OF_THAW):
            (folder / path.name).symlink_to(path)


def _write_programs(folder: Path) -> None:
    """Write programs into ``folder``; its pyenv has the Python of this environment alone."""
    python = folder / "versions" / platform.python_version() / "bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(Path(sys.executable).resolve())
    for name, text in _PROGRAMS.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{text.format(folder=folder)}\n")
        program.chmod(0o755)


@contextmanager
def _server(model: str, variables: dict[str, str], folder: Path) -> Iterator[str]:
    """Run MLflow's server in ``folder``; return its address as soon as it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["mlflow", "models", "serve", "-m", model, "--env-manager", "virtualenv"]
    command += ["--port", str(port)]
    sys.stdout.write(f"$ {' '.join(command)}\n")
    sys.stdout.flush()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", *command], cwd=folder, env=variables, start_new_session=True
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if requests.get(f"{address}/ping", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.5)
    raise AssertionError(f"MLflow's server does not answer within {_SECONDS} s")
