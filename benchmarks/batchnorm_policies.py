"""Test accuracy by BatchNorm policy and batch size: `make bench TARGETS=batchnorm`.

All blocks are fine-tuned for three epochs at 64 px from the same trained head (one per seed), with
each policy and batch size, on 240 training images of clip art and of shifted digits. The learning
rate is always 0.0003, so that only the batch size changes. The scores are those of the last epoch
on 480 test images, which select nothing. (The best epoch could be the initial head, which would
hide the damage of a policy.) If a policy keeps running statistics, a copy is also scored after
they are recalibrated on the training images.

Each result is appended to ``benchmarks/results/batchnorm.jsonl``, so that an interrupted run
continues.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import numpy as np
import torch
import torch.nn.functional as F
import typer
from rich.console import Console

from benchmarks import result_tables
from benchmarks.datasets import clipart, shifted_digits
from tests.project import ROOT
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.data.loading import ImageSource
from thaw.data.prepared import Prepared
from thaw.ingest.folder_source import list_folder
from thaw.literals import BatchNormPolicy
from thaw.model import batchnorm
from thaw.model.batchnorm import fold_blocks
from thaw.model.freeze_plan import last_blocks
from thaw.model.freezing import apply_plan
from thaw.registry.starting_model import begin
from thaw.stages import prepare
from thaw.system.launching import ENVIRONMENT
from thaw.training.activation_cache import cache_of
from thaw.training.bn_recalibration import recalibrate
from thaw.training.checkpoints import Checkpoints
from thaw.training.loop import fit
from thaw.training.observer import Observer
from thaw.training.phase_inputs import phase_inputs
from thaw.training.runtime import logits, start
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw.data.preprocessing import Preprocessing
    from thaw.data.split_names import SplitName
    from thaw.model.classifier import Classifier
    from thaw.model.freeze_plan import Plan
    from thaw.training.history import EpochRow
    from thaw.training.progress import Progress
    from thaw.training.runtime import Runtime

POLICIES = get_args(BatchNormPolicy)
SIZES = (2, 4, 8, 16, 32)
RESULTS = Path(__file__).parent / "results" / "batchnorm.jsonl"
_SETS: dict[str, Callable[[int], Path]] = {
    "clipart-few": partial(clipart.dataset, "few"),
    "digits-shifted": shifted_digits.dataset,
}
_PICTURE = ROOT / "docs/images/batchnorm.png"
_TRAINING, _TEST = 240, 480
_PIXELS, _RATE = 64, 0.0003


def main(
    only: Annotated[str, typer.Option(help="clipart-few or digits-shifted.")] = "",
    seeds: Annotated[str, typer.Option(help="By commas.")] = "0,1,2",
    sizes: Annotated[str, typer.Option(help="Batch sizes, by commas.")] = "2,4,8,16,32",
    epochs: int = 3,
    threads: Annotated[int, typer.Option(help="0: all cores.")] = 0,
) -> None:
    """Measure what has no result yet, then print and draw all results."""
    if not ENVIRONMENT.keys() <= os.environ.keys():  # must be set before the process starts
        cores = {"OMP_NUM_THREADS": str(threads or os.cpu_count())}
        command = [sys.executable, "-m", "benchmarks.batchnorm_policies", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | ENVIRONMENT | cores)
    console = Console(width=110)
    done = {(r["data"], r["seed"], r["policy"], r["batch"], r["epochs"]) for r in results()}
    for seed in (int(seed) for seed in seeds.split(",")):
        for name in [only] if only else _SETS:
            todo = [
                (policy, int(size))
                for policy in POLICIES
                for size in sizes.split(",")
                if (name, seed, policy, int(size), epochs) not in done
            ]
            if todo:
                measure(name, seed, todo, epochs, console)
    found = [row for row in results() if row["epochs"] == epochs]
    show(found, console)
    draw(found)


def results() -> list[dict[str, Any]]:
    """Return all results so far."""
    return [json.loads(line) for line in RESULTS.open()] if RESULTS.exists() else []


@dataclass(frozen=True)
class Bench:
    """Data, head and settings that all runs of one data set and seed share."""

    params: Params
    runtime: Runtime
    data: Prepared
    preprocessing: Preprocessing
    folder: Path

    def images(self, split: SplitName, most: int | None = None) -> ImageSource:
        """Return the images of a split, or a sample of them drawn by the seed."""
        ids = self.data.manifest.ids(split)
        order = np.random.default_rng(self.params.seed).permutation(len(ids))[:most]
        targets = self.data.manifest.targets
        return ImageSource(self.data.store, np.sort(ids[order]), targets, self.preprocessing)

    def train(
        self,
        classifier: Classifier,
        plan: Plan,
        val: ImageSource,
        log: Callable[[EpochRow], None] = lambda _: None,
        **changes: Any,
    ) -> Progress:
        """Train as thaw's stages do, from cached activations if blocks are frozen."""
        if plan.batch_norm == "affine":
            fold_blocks(classifier.blocks, plan.trainable)
        apply_plan(classifier, plan)
        settings = self.params.warmup_head.model_copy(update=changes)
        cache = cache_of(self.folder, self.data, self.preprocessing, self.params.resources.cache_gb)
        train = self.images("train", _TRAINING)
        inputs = phase_inputs(self.runtime, classifier, train, val, plan.cut, cache)
        with tempfile.TemporaryDirectory() as folder:
            setup = TrainingSetup(settings, self.params.regularize, self.params.seed)
            observer = Observer(Checkpoints(Path(folder), "bench"), log)
            return fit(self.runtime, classifier, inputs, setup, observer)

    def recalibrated(self, classifier: Classifier, images: ImageSource) -> tuple[float, float]:
        """Return accuracy and loss of a copy with the statistics of the training images."""
        made = copy.deepcopy(classifier)
        recalibrate(self.runtime, made, self.images("train", _TRAINING), self.params.seed)
        outputs, targets = logits(self.runtime, made, images, ""), torch.from_numpy(images.targets)
        accuracy = float((outputs.argmax(1) == targets).double().mean())
        return accuracy, float(F.cross_entropy(outputs.double(), targets))


def measure(
    name: str, seed: int, todo: list[tuple[BatchNormPolicy, int]], epochs: int, console: Console
) -> None:
    """Train one head and fine-tune copies of the classifier."""
    with tempfile.TemporaryDirectory() as folder:
        params = load(Params, ROOT / "params.yaml")
        size = params.backbone.model_copy(update={"image_size": _PIXELS})
        params = params.model_copy(update={"seed": seed, "backbone": size})
        source = _SETS[name](seed)
        prepare.run(params, list_folder(source), Path(folder))
        data = Prepared(Path(folder))
        warmed, spec = begin(params, params.head, data, "")
        bench = Bench(
            params, start(params.launch, params.resources), data, spec.preprocessing, Path(folder)
        )
        blocks = len(warmed.blocks)
        bench.train(warmed, last_blocks(0, blocks), bench.images("val"))
        test = bench.images("test", _TEST)
        for policy, batch in todo:
            begun = time.perf_counter()
            classifier = copy.deepcopy(warmed)
            again: dict[str, float] = {}

            def log(row: EpochRow, classifier: Classifier = classifier, again: Any = again) -> None:
                if row.epoch == epochs and batchnorm.has_statistics(classifier):
                    scores = bench.recalibrated(classifier, test)
                    again.update(zip(("again_accuracy", "again_loss"), scores, strict=True))

            progress = bench.train(
                classifier, last_blocks(blocks, blocks, policy), test, log,
                epochs=epochs, patience=epochs, batch_size=batch, lr=_RATE, warmup_fraction=0.1,
            )  # fmt: skip
            first, last = progress.history[0], progress.history[-1]
            row = {
                "data": name, "seed": seed, "policy": policy, "batch": batch, "epochs": epochs,
                "test_accuracy": last.val_accuracy, "test_loss": last.val_loss,
                "start_accuracy": first.val_accuracy, "start_loss": first.val_loss,
                **again, "seconds": time.perf_counter() - begun,
            }  # fmt: skip
            with RESULTS.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            console.print(
                f"{name} seed {seed}  {policy:7} batch {batch:2}  accuracy {last.val_accuracy:.4f} "
                f"(head {first.val_accuracy:.4f})  {row['seconds']:.0f} s"
            )


def show(rows: result_tables.Rows, console: Console) -> None:
    """Print per data set the test accuracy by policy and batch size, and of the initial head."""
    for name in _SETS:
        found = [row for row in rows if row["data"] == name]
        if not found:
            continue
        starts = {row["seed"]: row["start_accuracy"] for row in found}
        console.print(f"{name}: the head alone {result_tables.spread(list(starts.values()), 3)}\n")
        for value, digits in (("accuracy", 3), ("loss", 2)):
            body = [
                [name]
                + [
                    result_tables.spread(_values(found, policy, size, key), digits)
                    for size in SIZES
                ]
                for policy in POLICIES
                for name, key in (
                    (policy, f"test_{value}"),
                    (f"{policy}, recalibrated", f"again_{value}"),
                )
                if any(key in row for row in found if row["policy"] == policy)
            ]
            result_tables.markdown([f"test {value}, batch of", *map(str, SIZES)], body, console)


def draw(rows: result_tables.Rows) -> None:
    """Draw one panel per data set: a line per policy over the batch size, and a dot per seed."""
    from matplotlib.figure import Figure

    present = [name for name in _SETS if any(row["data"] == name for row in rows)]
    if not present:
        return
    figure = Figure(figsize=(5 * len(present), 3.6), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(present), squeeze=False)[0], present, strict=True):
        found = [row for row in rows if row["data"] == name]
        for place, policy in enumerate(POLICIES):
            values = {size: _values(found, policy, size, "test_accuracy") for size in SIZES}
            measured = [size for size in SIZES if values[size]]
            means = [np.mean(values[size]) for size in measured]
            axis.plot(measured, means, color=f"C{place}", label=policy)
            for size in measured:
                axis.plot([size] * len(values[size]), values[size], ".", color=f"C{place}")
        start = float(np.mean([row["start_accuracy"] for row in found]))
        axis.axhline(start, color="grey", linestyle="--", label="the head alone")
        axis.set_xscale("log", base=2)
        axis.set_xticks(SIZES, [str(size) for size in SIZES])
        axis.set_xlabel("batch size")
        axis.set_ylabel("test accuracy")
        axis.set_title(name, fontsize=10)
        axis.legend(fontsize=8)
    _PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(_PICTURE, dpi=120)


def _values(rows: result_tables.Rows, policy: str, size: int, value: str) -> list[float]:
    return [row[value] for row in rows if (row["policy"], row["batch"]) == (policy, size)]


if __name__ == "__main__":
    typer.run(main)
