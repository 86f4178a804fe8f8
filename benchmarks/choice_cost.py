"""Compare the cost of the choices of a new project with that of a training.

`make bench TARGETS=choices` prints the processor seconds of `thaw advise` in a new project, which
compares heads and trainings. Beside them are those of the stages warmup_head and unfreeze with a
default value in place of every ``auto``: a crop of 224 pixels, a head trained by its gradient, then
all blocks for seven epochs with statistics of the batch. All is computed in one thread, with split
0 of the sets of `make bench TARGETS=method`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from benchmarks.datasets.registry import DATA
from benchmarks.method import thaw_arm
from benchmarks.result_tables import markdown
from benchmarks.start_up import run
from tests.project import Project

if TYPE_CHECKING:
    from benchmarks.datasets.registry import Data

_SETS = [data.name for data in DATA if data.image_size is None and not data.held_out]
_DEFAULT: dict[str, Any] = {
    "backbone__framing": "crop",
    "backbone__image_size": 224,
    "head__taps": [],
    "augment__crop": 0.45,
    "augment__flip": 0.5,
    "warmup_head__fit": "gradient",
    "unfreeze__depth": 9,
    "unfreeze__batch_norm": "train",
}


def main(
    only: Annotated[str, typer.Option(help="Names of sets, by commas.")] = "emoji,stamps",
) -> None:
    """Measure and print a line for each set."""
    os.environ["OMP_NUM_THREADS"] = "1"
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in _SETS]:
        raise typer.BadParameter(f"{unknown[0]}: choose from {', '.join(_SETS)}")
    head = ["set", "one training of the default", "choices", "choices over default"]
    rows = [_line(data) for data in DATA if data.name in names]
    markdown(head, rows, Console(width=110))


def _line(data: Data) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        advised = _prepared(data, Path(folder, "advised"))
        choices = run(advised, "thaw", "advise").processor
        default = _prepared(data, Path(folder, "default"))
        default.set(**_DEFAULT)
        default.run("dvc", "repro", "prepare")  # another size, so that images are packed again
        training = run(default, "dvc", "repro", "unfreeze").processor
    return [data.name, f"{training:.0f} s", f"{choices:.0f} s", f"{choices / training:.2f}"]


def _prepared(data: Data, folder: Path) -> Project:
    """Return a new project with prepared images."""
    folder.mkdir()
    project = Project(thaw_arm.create(data, 0, folder))
    project.run("dvc", "repro", "prepare")
    return project


if __name__ == "__main__":
    typer.run(main)
