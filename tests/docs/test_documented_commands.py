"""Run every command of README and tutorial, on projects with 40 images of 40 pixels; `make run`."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from tests.docs.commands import Shell, blocks_of, commands_in, commands_of, python_of
from tests.project import ROOT, Project

if TYPE_CHECKING:
    from pathlib import Path

# Commands that other tests run, by their start.
ELSEWHERE = {
    "pip install": "tools/check_wheel.py installs the package into a fresh environment",
    "make run": "its commands: the test below",
    "make test": "a step of .ci/run",
}
# A gate may refuse, and without an earlier champion there is nothing to go back to.
CODES = {"thaw promote": (0, 1), "thaw rollback": (0, 2)}
CHEAP: dict[str, dict[str, object]] = {
    "backbone": {"image_size": 32, "framing": "crop"},
    "head": {"taps": []},
    "warmup_head": {"fit": "gradient", "epochs": 2},
    "unfreeze": {"depth": 1, "epochs": 1},
}


@pytest.mark.commands
@pytest.mark.timeout(3600)
def test_every_command_of_the_tutorial_runs(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {})
    for command in commands_to_run(ROOT / "docs/tutorial.md"):
        run(shell, command, {"data": {"source": "digits"}})


@pytest.mark.commands
@pytest.mark.timeout(3600)
def test_every_command_of_the_readme_runs(tmp_path: Path) -> None:
    images = photographs(tmp_path / "images")
    replaced = {
        "/data/flowers": str(images),
        " DIR ": f" {images} ",
        "--trials 50 --workers 2": "--trials 2",
    }
    shell = Shell(tmp_path, replaced)
    for command in commands_to_run(ROOT / "README.md"):
        run(shell, command, {"launch": {"threads": 1}})
    (code,) = python_of(ROOT / "README.md")
    shutil.copy(images / "rose/0.png", shell.folder / "photo.jpg")
    (shell.folder / "example.py").write_text(code)
    run(shell, f"{sys.executable} example.py", {})


@pytest.mark.commands
@pytest.mark.timeout(3600)
def test_the_first_commands_of_the_readme_choose_everything_by_measurement(tmp_path: Path) -> None:
    """Run them without other values: a new project has ``auto`` for all that depends on images.

    The guide on scripts uses the same project and its released version.
    """
    images = photographs(tmp_path / "images")
    shell = Shell(tmp_path, {"/data/flowers": str(images)})
    first = first_block(ROOT / "README.md")
    assert first[-3:] == ["cd flowers", "dvc repro", "thaw report"]
    for command in first:
        if not command.startswith(tuple(ELSEWHERE)):
            shell.run(command)
    reports = shell.folder / "reports"
    heads = json.loads((reports / "warmup_head/choices.json").read_text())
    assert {"backbone.image_size", "backbone.framing", "warmup_head.fit"} <= heads["values"].keys()
    scores = json.loads((reports / "evaluate/metrics.json").read_text())["test"]
    assert scores["accuracy"] == 1.0  # one class is much brighter
    assert (reports / "index.html").exists()
    for block in blocks_of(ROOT / "docs/how-to/scripts.md"):
        output = shell.run(f"set -e\n{block}".replace(" DIR ", f" {images} "))
        assert "Traceback" not in output
    assert json.loads((shell.folder / "summary.json").read_text())["unreadable"] == {}
    assert len((shell.folder / "predictions.csv").read_text().splitlines()) == 41


@pytest.mark.commands
@pytest.mark.timeout(3600)
def test_make_run_learns_the_digits_with_the_default_parameters(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.set(launch__threads=1)  # beside other processes, two threads wait for each other
    for command in recipe("run"):
        output = project.run(*command.split())
    assert "classifier version 1 as @champion" in output
    scores = json.loads((tmp_path / "reports/evaluate/metrics.json").read_text())["test"]
    assert scores["accuracy"] >= 0.97  # measured: 0.993; the margin covers the chance of 269 images


def recipe(target: str) -> list[str]:
    """Return the commands of a target of the Makefile."""
    content = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(rf"^{target}:.*\n((?:\t.+\n)+)", content, re.MULTILINE)
    assert found is not None
    return [line.strip().lstrip("@") for line in found[1].splitlines()]


def first_block(page: Path) -> list[str]:
    """Return the commands of the first block of a page."""
    text = page.read_text(encoding="utf-8")
    return commands_in(text[: text.index("\n```\n", text.index("```bash")) + 5])


def commands_to_run(page: Path) -> list[str]:
    """Return the commands of a page that no other test runs, each once."""
    found = dict.fromkeys(commands_of(page))
    return [command for command in found if not command.startswith(tuple(ELSEWHERE))]


def run(shell: Shell, command: str, values: dict[str, dict[str, object]]) -> None:
    """Run a command; a new project gets parameters that train within seconds."""
    started = time.monotonic()
    codes = next((codes for start, codes in CODES.items() if command.startswith(start)), (0,))
    output = shell.run(command, codes)
    for noise in ("Traceback", "Warning:"):
        assert noise not in output, f"{command}\n{output}"
    if command.startswith("cd "):
        write(shell.folder / "params.yaml", {**CHEAP, **values})
    print(f"{time.monotonic() - started:6.1f} s  {command}")


def write(path: Path, values: dict[str, dict[str, object]]) -> None:
    """Change ``values``, by section and name, in a ``params.yaml``."""
    yaml = YAML()
    content = yaml.load(path.read_text())
    for section, changes in values.items():
        content[section].update(changes)
    with path.open("w") as stream:
        yaml.dump(content, stream)


def photographs(folder: Path) -> Path:
    """Write 20 images for each of two classes, of which one is brighter."""
    generator = np.random.default_rng(0)
    for label, brightness in (("rose", 90), ("lily", 160)):
        for number in range(20):
            pixels = generator.integers(0, 90, (40, 40, 3)) + brightness
            path = folder / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def test_the_pages_have_commands_and_each_exception_is_used() -> None:
    found = [
        line for page in ("README.md", "docs/tutorial.md") for line in commands_of(ROOT / page)
    ]
    assert len(found) > 50
    for start in ELSEWHERE:
        assert any(line.startswith(start) for line in found), start
    assert not [line for line in found if re.search(r"\s#", line)]
