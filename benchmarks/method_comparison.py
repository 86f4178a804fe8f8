"""Accuracy of thaw and of common alternatives: `make bench TARGETS=method`.

All arms use the same pixels and the same packaged weights, on each data set and with each seed (of
split and training):

    logistic   logistic regression on the frozen features of the last block
    plain      one phase, all layers at one rate, random head (AdamW, the better of 1e-3 and 1e-4)
    fastai     fastai's fine_tune with its own defaults
    default    dvc repro, with the defaults of params.yaml
    advised    dvc repro prepare, thaw advise --apply, dvc repro

plain and fastai train for as many epochs as the defaults of unfreeze and fold_bn together. Each
result is appended to ``benchmarks/results/method.jsonl``, so that an interrupted run continues.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from benchmarks import clipart_dataset, result_tables, shifted_digits
from benchmarks.subprocesses import run_script
from tests.project import ROOT, Project
from thaw.config.loading import load
from thaw.config.params import Params

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ARMS = ("logistic", "plain", "fastai", "default", "advised")
RESULTS = Path(__file__).parent / "results" / "method.jsonl"
_PICTURE = ROOT / "docs/images/method.png"
# Measured seconds besides training: processes, imports, scoring, probes, pictures.
_BESIDE = {"logistic": 15, "plain": 12, "fastai": 18, "default": 45, "advised": 75}
# Passes over the training data per epoch.
_RUNS = {"logistic": 0.0, "plain": 2.0, "fastai": 1.3, "default": 1.0, "advised": 1.0}


@dataclass(frozen=True)
class Data:
    """A data set: its folder as a function of the seed (None: thaw's own digits), and its size."""

    name: str
    folder: Callable[[int], Path] | None
    image_size: int
    training: int
    flip: bool  # whether fastai may mirror its images


DATA = (
    Data("clipart-few", partial(clipart_dataset.dataset, "few"), 96, 240, flip=True),
    Data("clipart-all", partial(clipart_dataset.dataset, "all"), 96, 850, flip=True),
    Data("digits", None, 64, 1259, flip=False),
    Data("digits-shifted", shifted_digits.dataset, 64, 600, flip=False),
)
Job = tuple[Data, int, list[str]]  # the arms that are missing


def main(
    only: Annotated[str, typer.Option(help="Names of arms and data sets, by commas.")] = "",
    seeds: Annotated[str, typer.Option(help="By commas.")] = "0,1,2",
    epochs: Annotated[int, typer.Option(help="Of unfreeze; 0: as params.yaml says.")] = 0,
    threads: Annotated[int, typer.Option(help="0: all cores.")] = 0,
    show: Annotated[bool, typer.Option("--show", help="Run nothing.")] = False,  # noqa: FBT002
) -> None:
    """Measure what has no result yet, then print and draw all results."""
    console = Console(width=110)
    names = [data.name for data in DATA]
    os.environ["OMP_NUM_THREADS"] = str(threads or os.cpu_count())  # inherited by all subprocesses
    if not show:
        words = [word.strip() for word in only.split(",") if word.strip()]
        if unknown := set(words) - {*ARMS, *names}:
            raise typer.BadParameter(
                f"{', '.join(unknown)}: choose from {', '.join([*names, *ARMS])}"
            )
        jobs = missing(words, [int(seed) for seed in seeds.split(",")], epochs)
        console.print(f"about {estimate(jobs, epochs) / 60:.0f} minutes to go")
        for job in jobs:
            measure(*job, epochs, console)
    found = [row for row in results() if row["epochs"] == epochs]
    result_tables.show(found, names, ARMS, console)
    result_tables.draw(found, names, ARMS, _PICTURE)


def results() -> list[dict[str, Any]]:
    """Return all results so far."""
    return [json.loads(line) for line in RESULTS.open()] if RESULTS.exists() else []


def missing(words: list[str], seeds: list[int], epochs: int) -> list[Job]:
    """Return the jobs that are selected and have no result yet."""
    done = {(row["data"], row["seed"], row["arm"], row["epochs"]) for row in results()}
    arms = [arm for arm in ARMS if arm in words] or ARMS
    sets = [data for data in DATA if data.name in words] or DATA
    return [
        (data, seed, left)
        for seed in seeds
        for data in sets
        if (left := [arm for arm in arms if (data.name, seed, arm, epochs) not in done])
    ]


def estimate(jobs: Iterable[Job], epochs: int) -> float:
    """Return the seconds that ``jobs`` will take, estimated from a few steps at each image size."""
    jobs, total = list(jobs), 0.0
    sizes = {data.image_size for data, _, _ in jobs}
    an_image = {
        size: run_script(ROOT, "method_baselines.py", "timing", size)["an_image"] for size in sizes
    }
    for data, _, arms in jobs:
        epoch = data.training * an_image[data.image_size]
        total += sum(_BESIDE[arm] + _RUNS[arm] * all_epochs(epochs) * epoch for arm in arms)
    return total


def all_epochs(epochs: int) -> int:
    """Return the epochs of unfreeze and fold_bn together."""
    params = load(Params, ROOT / "params.yaml")
    return (epochs or params.unfreeze.epochs) + params.fold_bn.epochs


def measure(data: Data, seed: int, arms: list[str], epochs: int, console: Console) -> None:
    """Run the arms in one copy of the project on the same prepared data."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        cores = int(os.environ["OMP_NUM_THREADS"])
        project.set(seed=seed, backbone__image_size=data.image_size, launch__threads=cores)
        if data.folder is not None:
            project.set(data__source="folder", data__path=str(data.folder(seed)))
        if epochs:
            project.set(unfreeze__epochs=epochs)
        project.run("dvc", "repro", "prepare")
        params = project.folder / "params.yaml"
        content = params.read_text()
        for arm in arms:
            if arm in {"default", "advised"}:
                params.write_text(content)  # as it was before the advice
                row = pipeline(project, epochs, advised=arm == "advised")
            else:
                flip = ["flip"] if data.flip else []
                row = run_script(
                    project.folder, "method_baselines.py", arm, all_epochs(epochs), *flip
                )
            row = {"data": data.name, "seed": seed, "arm": arm, "epochs": epochs} | row
            with RESULTS.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            console.print(
                f"{data.name:15} seed {seed}  {arm:9} accuracy {row['test_accuracy']:.4f}  "
                f"log-loss {row['test_loss']:.4f}  {row['seconds']:4.0f} s  ({row['choice']})"
            )


def pipeline(project: Project, epochs: int, *, advised: bool) -> dict[str, Any]:
    """Return the scores of ``dvc repro``, with the recommended values if ``advised``.

    The number of epochs is limited to that of the other arms.
    """
    begun = time.perf_counter()
    path = project.folder / "params.yaml"
    if advised:
        project.run("thaw", "advise", "--apply")
        advice = load(Params, path)
        most = all_epochs(epochs) - advice.fold_bn.epochs
        project.set(unfreeze__epochs=min(advice.unfreeze.epochs, most))
    project.run("dvc", "repro")
    params = load(Params, path)
    report = json.loads((project.folder / "reports/fold_bn/report.json").read_text())
    test = json.loads((project.folder / "reports/evaluate/metrics.json").read_text())["test"]
    return {
        "choice": f"{params.warmup_head.fit}, taps {params.head.taps}, depth "
        f"{params.unfreeze.depth}, lr {params.unfreeze.lr:g}, {params.unfreeze.batch_norm}",
        "val_accuracy": report["val_accuracy"],
        "val_loss": report["val_loss"],
        "test_accuracy": test["accuracy"],
        "test_loss": test["log_loss"],
        "seconds": time.perf_counter() - begun,
    }


if __name__ == "__main__":
    typer.run(main)
