"""Build the wheel, install it into a fresh environment, and use it there as a user would.

Usage: ``python -m tools.check_wheel``. The fresh environment finds the dependencies in the
environment that runs this program, but thaw only in the wheel.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import numpy as np
from PIL import Image

from tools.model_environment import check_served_environment

ROOT = Path(__file__).resolve().parent.parent
_IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org")
# Parameters for a run of seconds.
_SMALL = {"warmup_head.epochs": 3, "unfreeze.depth": 1, "unfreeze.epochs": 1}


def main() -> None:
    """Build, install, create a project, run its pipeline, predict.

    Raises:
        CalledProcessError: a step fails.
    """
    with tempfile.TemporaryDirectory(prefix="thaw-wheel-") as name:
        folder = Path(name)
        wheel = build_wheel(folder / "wheels")
        environment = make_environment(folder / "venv")
        install(environment, str(wheel))
        check_installation(environment)
        make_images(folder / "photos")
        project = folder / "colours"
        run(environment, folder, "thaw", "init", project.name, "--images", "photos")
        make_small(project)
        run(environment, project, "git", "add", "--all")
        run(environment, project, "git", *_IDENTITY, "commit", "--quiet", "--message", "start")
        run(environment, project, "dvc", "repro")
        run(environment, project, "thaw", "report")
        status = run(environment, project, "dvc", "status", "--json")
        assert json.loads(status) == {}, status
        model = "models:/colours@champion"
        run(environment, project, "thaw", "predict", model, "../photos", "--out", "predicted.csv")
        rows = (project / "predicted.csv").read_text().splitlines()
        assert len(rows) == 1 + 36, rows
        check_requirements(make_environment(folder / "server"), project, wheel.parent)
        check_served_environment(project, model, wheel.parent, folder / "served")
        check_servers_extra(environment, wheel)
    sys.stdout.write("the wheel works in a fresh environment\n")


def build_wheel(folder: Path) -> Path:
    """Return the path of the wheel, built from the sources of this checkout."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("thaw_vision-*.whl")
    return wheel


def make_environment(folder: Path) -> dict[str, str]:
    """Return the variables of a fresh virtual environment with the dependencies of thaw."""
    venv.create(folder, with_pip=True)
    target = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
    # A folder that is named in a .pth file is searched last, and its own .pth files are not read:
    # an editable installation of thaw in it does not count.
    Path(target, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # The setuptools of a new environment may be older than the one that the dependencies need.
    remove = [str(folder / "bin/python"), "-m", "pip", "uninstall", "-q", "--yes", "setuptools"]
    subprocess.run(remove, check=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_", "PYTHON"))}
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), kept["PATH"]])
    return {**kept, "PATH": path, "VIRTUAL_ENV": str(folder)}


def install(environment: dict[str, str], *options: str) -> None:
    """Install packages into the virtual environment, over those that it finds elsewhere."""
    pip = ["python", "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-installed"]
    run(environment, Path("/"), *pip, *options)


def check_requirements(environment: dict[str, str], project: Path, wheels: Path) -> None:
    """Check that a folder of wheels is enough to install and load a registered model.

    thaw is installed by the name and version in the requirements of the model, from ``wheels``
    alone. The other requirements must be satisfied by the versions that made the model.
    """
    (listed,) = project.glob("mlruns/artifacts/**/requirements.txt")
    (own,) = (line for line in listed.read_text().splitlines() if line.startswith("thaw-vision"))
    index = ("--no-index", "--find-links", str(wheels))
    install(environment, *index, own)
    pip = ("python", "-m", "pip", "install", "--quiet", *index, "--requirement", str(listed))
    run(environment, Path("/"), *pip)
    check_installation(environment)
    program = (
        "import sys, mlflow; model = mlflow.pyfunc.load_model(sys.argv[1]);"
        "print(model.predict(model.input_example)[0]['label'])"
    )
    label = run(environment, Path("/"), "python", "-c", program, str(listed.parent))
    assert label.strip() in {"blue", "green", "red"}, label


def check_servers_extra(environment: dict[str, str], wheel: Path) -> None:
    """Check that pip finds versions for the extra ``servers`` that fit those of thaw.

    What the environment of this program lacks is downloaded.
    """
    pip = ("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(environment, Path("/"), *pip, f"{wheel}[servers]")
    run(environment, Path("/"), "python", "-c", "import boto3, dvc_s3, psycopg")
    run(environment, Path("/"), "python", "-m", "pip", "check")


def check_installation(environment: dict[str, str]) -> None:
    """Check that thaw comes from the wheel, with its code digests and templates."""
    program = (
        "import thaw; from thaw.system.code_digests import SHIPPED, compute, PACKAGE, code_digests;"
        "assert SHIPPED.exists(); assert code_digests() == compute(PACKAGE); print(thaw.__file__)"
    )
    where = run(environment, Path("/"), "python", "-c", program).strip()
    assert Path(where).is_relative_to(environment["VIRTUAL_ENV"]), where


def make_images(folder: Path) -> None:
    """Write 12 images of each of three colours."""
    generator = np.random.default_rng(0)
    for index, label in enumerate(("blue", "green", "red")):
        (folder / label).mkdir(parents=True)
        for number in range(12):
            pixels = generator.integers(0, 120, (32, 32, 3))
            pixels[..., 2 - index] += 100
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{number}.png")


def make_small(project: Path) -> None:
    """Set parameters for a run of seconds."""
    from thaw.config.editing import write_values

    write_values(_SMALL, project / "params.yaml")


def run(environment: dict[str, str], folder: Path, *command: str) -> str:
    """Return what ``command`` prints to its standard output.

    Raises:
        CalledProcessError: it fails.
    """
    sys.stdout.write(f"$ {' '.join(command)}\n")
    sys.stdout.flush()
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    sys.stdout.write(done.stdout)
    done.check_returncode()
    return done.stdout


if __name__ == "__main__":
    main()
