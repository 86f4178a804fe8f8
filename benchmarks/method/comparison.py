"""thaw against common alternatives: `make bench TARGETS=method`.

All arms use the same splits and the same packaged weights, on each data set and with each seed (of
split and training):

    logistic   logistic regression on the frozen features of the last block; framing and image size
               are chosen on the validation split, from what thaw compares, the strength by five
               folds of training and validation images, to all of which it is fitted
    plain      one phase, all layers at one rate, random head (AdamW, the better of 1e-3 and 1e-4);
               framing and size are those of logistic
    fastai     fastai's fine_tune with its own defaults; framing and size are those of logistic
    auto       thaw init, the seed, dvc repro

plain and fastai train for ``--epochs`` and two more. Each result is appended to
``benchmarks/results/method.jsonl`` with a digest of the data, so that an interrupted run continues;
those of ``auto`` hold for the code of the stages that made them. All splits of a set are published
with one code; the printed lines say which.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from benchmarks.method import rows, tables, thaw_arm
from benchmarks.subprocesses import run_script
from tests.project import ROOT, Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.method.rows import Arm, Job, Row

_PICTURE = ROOT / "docs/images/method.png"
_MORE_EPOCHS = 2  # those of thaw's stage fold_bn


def main(
    only: Annotated[str, typer.Option(help="Names of arms and data sets, by commas.")] = "",
    seeds: Annotated[str, typer.Option(help="By commas.")] = "0,1,2",
    epochs: Annotated[int, typer.Option(help="Of plain and fastai, less two.")] = 5,
    threads: Annotated[int, typer.Option(help="0: all cores.")] = 0,
    held_out: Annotated[bool, typer.Option("--held-out", help="With the held-out set.")] = False,  # noqa: FBT002
    show: Annotated[bool, typer.Option("--show", help="Run nothing.")] = False,  # noqa: FBT002
) -> None:
    """Measure what has no result yet, print the results, and draw them if all sets are selected."""
    console = Console(width=110)
    os.environ["OMP_NUM_THREADS"] = str(threads or os.cpu_count())  # inherited by all subprocesses
    try:
        words = [word.strip() for word in only.split(",") if word.strip()]
        sets, arms = rows.selected(words, held_out=held_out)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not show:
        numbers = [int(seed) for seed in seeds.split(",")]
        if problem := rows.other_data(sets, numbers, rows.read()):
            raise SystemExit(f"error: {problem}")
        jobs = rows.missing(sets, arms, numbers, epochs, rows.read())
        console.print(f"{sum(len(job.arms) for job in jobs)} results are missing")
        for job in jobs:
            _measure(job, epochs, console)
    found = [row for row in rows.read() if row["epochs"] == epochs]
    names = [data.name for data in sets]
    tables.show(found, names, console)
    if not words:
        tables.draw(found, names, _PICTURE)


def _measure(job: Job, epochs: int, console: Console) -> None:
    """Run the arms of a job and append their rows."""
    with tempfile.TemporaryDirectory() as folder:
        shared = _Shared(Path(folder) / "shared", job)
        for arm in job.arms:
            if arm.follows_thaw:
                project = thaw_arm.create(job.data, job.seed, Path(folder))
                with _timed() as cost:
                    scores = thaw_arm.measure(project)
            else:
                place = shared.prepared()
                with _timed() as cost:
                    scores = _baseline(place, job, arm, epochs)
            row = rows.append(job, arm, epochs, {**scores, **cost})
            _report(row, console)


def _baseline(folder: Path, job: Job, arm: Arm, epochs: int) -> dict[str, Any]:
    options: list[str | int] = ["--flip"] if job.data.flip else []
    if job.data.image_size is not None:
        options += ["--size", job.data.image_size]
    return run_script(folder, "method/baselines.py", arm.name, epochs + _MORE_EPOCHS, *options)


class _Shared:
    """A project with prepared data, for the arms that are not thaw's."""

    def __init__(self, folder: Path, job: Job) -> None:
        self.folder = folder
        self.job = job

    def prepared(self) -> Path:
        """Return the folder; create it and prepare the data if that was not done."""
        if not self.folder.exists():
            self.folder.mkdir()
            project = Project(thaw_arm.create(self.job.data, self.job.seed, self.folder))
            project.run("dvc", "repro", "prepare")
        return self.folder / thaw_arm.PROJECT


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Yield a dictionary that gets the seconds, and the processor seconds of ended processes."""
    cost: dict[str, float] = {}
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    yield cost
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost["seconds"] = time.perf_counter() - begun
    cost["processor"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _report(row: Row, console: Console) -> None:
    console.print(
        f"{row['data']:15} seed {row['seed']}  {row['arm']:9} accuracy {row['test_accuracy']:.4f}  "
        f"log-loss {row['test_loss']:.4f}  ECE {row['test_ece']:.3f}  {row['processor']:4.0f} "
        f"processor seconds  ({row['choice']})"
    )


if __name__ == "__main__":
    typer.run(main)
