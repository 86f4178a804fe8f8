"""Is the method worth it? thaw against what one would do without it: `make bench-method`.

On each data set, with each seed (of the split and of the training), from the same pixels and the
same packaged weights:

    logistic   logistic regression on the frozen features of the last block
    plain      one phase, all layers at one rate, random head (AdamW, the better of 1e-3 and 1e-4)
    fastai     fastai's fine_tune with its own defaults
    default    dvc repro, with the defaults of params.yaml
    advised    dvc repro prepare, thaw advise --apply, dvc repro

plain and fastai make as many epochs as the defaults of unfreeze and fold_bn together. Every result
is kept at once as a line of ``benchmarks/results/method.jsonl``: an interrupted run continues.
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

from benchmarks import clipart, shifted, tables
from benchmarks.children import child
from tests.project import ROOT, Project
from thaw.config.loading import load
from thaw.config.params import Params

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ARMS = ("logistic", "plain", "fastai", "default", "advised")
RESULTS = Path(__file__).parent / "results" / "method.jsonl"
_PICTURE = ROOT / "docs/images/method.png"
# Seconds beside training, measured: processes, imports, scoring, probes, pictures.
_BESIDE = {"logistic": 15, "plain": 12, "fastai": 18, "default": 45, "advised": 75}
# Training passes over the data in units of an epoch, beside the epochs themselves.
_RUNS = {"logistic": 0.0, "plain": 2.0, "fastai": 1.3, "default": 1.0, "advised": 1.0}


@dataclass(frozen=True)
class Data:
    """A data set: its folder by seed (None: the digits as thaw brings them), and its size."""

    name: str
    folder: Callable[[int], Path] | None
    image_size: int
    training: int
    flip: bool  # whether fastai may mirror its images


DATA = (
    Data("clipart-few", partial(clipart.dataset, "few"), 96, 240, flip=True),
    Data("clipart-all", partial(clipart.dataset, "all"), 96, 850, flip=True),
    Data("digits", None, 64, 1259, flip=False),
    Data("digits-shifted", shifted.dataset, 64, 600, flip=False),
)
Job = tuple[Data, int, list[str]]  # the arms that are missing


def main(
    only: Annotated[str, typer.Option(help="Names of arms and data sets, by commas.")] = "",
    seeds: Annotated[str, typer.Option(help="By commas.")] = "0,1,2",
    epochs: Annotated[int, typer.Option(help="Of unfreeze; 0: as params.yaml says.")] = 0,
    threads: Annotated[int, typer.Option(help="0: all cores.")] = 0,
    show: Annotated[bool, typer.Option("--show", help="Run nothing.")] = False,  # noqa: FBT002
) -> None:
    """Run what is not among the results yet; then show and draw them."""
    console = Console(width=110)
    names = [data.name for data in DATA]
    os.environ["OMP_NUM_THREADS"] = str(threads or os.cpu_count())  # which every child inherits
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
    tables.show(found, names, ARMS, console)
    tables.draw(found, names, ARMS, _PICTURE)


def results() -> list[dict[str, Any]]:
    """What was measured so far."""
    return [json.loads(line) for line in RESULTS.open()] if RESULTS.exists() else []


def missing(words: list[str], seeds: list[int], epochs: int) -> list[Job]:
    """What is wanted and not measured yet."""
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
    """Seconds that ``jobs`` will take, from a few steps at each image size."""
    jobs, total = list(jobs), 0.0
    sizes = {data.image_size for data, _, _ in jobs}
    an_image = {size: child(ROOT, "arms.py", "timing", size)["an_image"] for size in sizes}
    for data, _, arms in jobs:
        epoch = data.training * an_image[data.image_size]
        total += sum(_BESIDE[arm] + _RUNS[arm] * all_epochs(epochs) * epoch for arm in arms)
    return total


def all_epochs(epochs: int) -> int:
    """Epochs of the whole network, in unfreeze and in fold_bn."""
    params = load(Params, ROOT / "params.yaml")
    return (epochs or params.unfreeze.epochs) + params.fold_bn.epochs


def measure(data: Data, seed: int, arms: list[str], epochs: int, console: Console) -> None:
    """Run the arms in one copy of the project, on the same prepared data."""
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
                row = child(project.folder, "arms.py", arm, all_epochs(epochs), *flip)
            row = {"data": data.name, "seed": seed, "arm": arm, "epochs": epochs} | row
            with RESULTS.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            console.print(
                f"{data.name:15} seed {seed}  {arm:9} accuracy {row['test_accuracy']:.4f}  "
                f"log-loss {row['test_loss']:.4f}  {row['seconds']:4.0f} s  ({row['choice']})"
            )


def pipeline(project: Project, epochs: int, *, advised: bool) -> dict[str, Any]:
    """The scores of ``dvc repro``, with the values that the advice wrote.

    But of ``epochs`` no more than the other arms make.
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
