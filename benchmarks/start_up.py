"""Times of commands that compute little, and of two pipelines: `make bench TARGETS=startup`.

Processor seconds (user and system, of all processes) are the figure to compare: unlike seconds of
the clock, they depend little on what else the machine does. The import of torch is measured in
between, as a unit of the speed of the machine. To compare with another version of thaw, run this
file in a checkout of each on the same machine.

The pictures are 485 images of Debian's package ``openclipart-png`` in eleven classes, written as
JPEG files of 400 pixels.
"""

from __future__ import annotations

import hashlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.datasets import clipart
from tests.project import Project, environment
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBJECTS = (*clipart.SUBJECTS, "office", "shapes", "signs_and_symbols")
IMAGES = 485
_SIDE = 400
HEAD_ONLY = {
    "data__source": "folder",
    "data__path": "data/images",
    "data__root": "data/images",
    "backbone__image_size": 224,
    "backbone__crop_pct": 0.875,
    "warmup_head__fit": "logistic",
    "unfreeze__depth": 0,
    "unfreeze__epochs": 0,
    "fold_bn__epochs": 0,
}


class Cost(NamedTuple):
    """The time of a command: seconds of the clock, and processor seconds of all its processes."""

    wall: float
    processor: float


def main(
    rounds: Annotated[int, typer.Option(help="Runs of the short commands.")] = 5,
    only: Annotated[str, typer.Option(help="stage, pictures or digits; empty: all.")] = "",
) -> None:
    """Measure everything and print the table."""
    table = Table(title="medians of seconds")
    for name in ("command", "wall clock", "processor", "in imports of torch"):
        table.add_column(name, justify="right" if name != "command" else "left")
    unit = statistics.median(import_of_torch().processor for _ in range(rounds))
    with tempfile.TemporaryDirectory() as folder:
        for what, cost in measured(Path(folder), rounds, only):
            table.add_row(
                what,
                f"{cost.wall:.1f}",
                f"{cost.processor:.1f}",
                f"{cost.processor / unit:.1f}",
            )
    table.add_row("import torch", "", f"{unit:.2f}", "1")
    Console(width=110).print(table)


def measured(folder: Path, rounds: int, only: str) -> Iterator[tuple[str, Cost]]:
    """Yield a description and the cost of each command."""
    if only in {"", "stage", "digits"}:
        digits = Project(folder / "digits")
        if only == "stage":
            digits.small()
        yield "dvc repro of the digits, from nothing", run(digits, "dvc", "repro")
        yield "dvc repro, nothing to do", median(digits, rounds, "dvc", "repro")
        digits.set(unfreeze__epochs=0)
        stage = median(digits, rounds, "thaw", "stage", "unfreeze")
        yield "thaw stage unfreeze, 0 epochs", stage
    if only in {"", "pictures"}:
        pictures = Project(folder / "pictures")
        write_pictures(pictures.folder / "data/images")
        pictures.set(**HEAD_ONLY)
        yield "485 pictures: dvc repro prepare", run(pictures, "dvc", "repro", "prepare")
        yield "485 pictures: thaw advise", run(pictures, "thaw", "advise")
        yield "485 pictures: dvc repro, head only", run(pictures, "dvc", "repro")


def import_of_torch() -> Cost:
    """Measure a Python that imports torch and ends."""
    return _timed([sys.executable, "-c", "import torch"], Path())


def median(project: Project, rounds: int, *command: str) -> Cost:
    """Return the medians over ``rounds`` runs of ``command``, after one that does not count."""
    run(project, *command)
    costs = [run(project, *command) for _ in range(rounds)]
    return Cost(*(statistics.median(values) for values in zip(*costs, strict=True)))


def run(project: Project, *command: str) -> Cost:
    """Run ``command`` in the project and return its cost."""
    return _timed(list(command), project.folder)


def _timed(command: list[str], folder: Path) -> Cost:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command)}\n{done.stdout}{done.stderr[-3000:]}")
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def write_pictures(folder: Path) -> None:
    """Write ``IMAGES`` pictures into one folder per subject, those with the lowest hash of a path.

    Their shorter side has 400 pixels. No picture is repeated.
    """
    source = clipart.fetch()
    seen: set[bytes] = set()
    for number, subject in enumerate(SUBJECTS):
        target = folder / subject
        target.mkdir(parents=True)
        left = (IMAGES + number) // len(SUBJECTS)
        for path in sorted((source / subject).rglob("*.png"), key=_rank):
            if left == 0:
                break
            try:
                decoded = decode(path.read_bytes(), short_side=_SIDE, max_megapixels=50.0)
            except DecodeError:
                continue
            digest = hashlib.sha256(decoded.pixels.tobytes()).digest()
            if digest in seen:
                continue
            seen.add(digest)
            Image.fromarray(decoded.pixels).save(target / f"{left:03d}.jpg", quality=90)
            left -= 1


def _rank(path: Path) -> str:
    return hashlib.sha256(path.name.encode()).hexdigest()


if __name__ == "__main__":
    typer.run(main)
