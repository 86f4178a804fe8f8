"""Predict a folder of images into a CSV file (`thaw predict`); a killed run continues."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from thaw.errors import ProblemsError
from thaw.model.predictor import Predictor
from thaw.serving.image_files import find_images, problem_lines, read_image, refuse_output
from thaw.serving.model_uri import local_model
from thaw.serving.prediction_file import DRIFT, PredictionFile
from thaw.serving.runtimes import use_runtime
from thaw.system.bounded_pool import map_in_order
from thaw.system.console import progress, say, warn
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from thaw.serving.image_files import FoundImages
    from thaw.serving.runtimes import Runtime

BATCH_SIZE = 32
_NOT_FINITE = "the model gave a probability that is not finite"


@dataclass(frozen=True)
class Summary:
    """The result of a run.

    ``computed`` is the number of images. ``failed`` are pairs (path, reason). ``drift`` is the
    score and the number of images that it covers, None if there are too few.
    """

    computed: int
    failed: list[tuple[str, str]]
    drift: tuple[float, int] | None


def predict_folder(
    model_uri: str,
    folder: Path,
    out: Path,
    batch_size: int = BATCH_SIZE,
    runtime: Runtime = "torch",
) -> None:
    """Predict every image below ``folder`` into ``out``, and print a summary.

    Images that have a row in ``out`` are not computed again.

    Raises:
        ThawError: the model or the folder does not exist, or ``out`` must not be written.
        ProblemsError: some images cannot be read; all others are predicted.
    """
    refuse_output(model_uri, folder, out)
    found = find_images(folder)
    with local_model(model_uri) as model:
        predictor = Predictor(model.folder)
        use_runtime(runtime, predictor, model.folder)
        owner = {"digest": predictor.spec.digest, "folder": str(folder.resolve())}
        with PredictionFile(out, owner, predictor.classes) as rows:
            remaining = [path for path in found.paths if path not in rows.done]
            if rows.done:
                say(f"{out} has {len(rows.done)} rows already; {len(remaining)} images remain")
            summary = predict(predictor, folder, remaining, rows, batch_size)
            about = {
                "complete": True,
                "model": model.name,
                "runtime": runtime,
                "unreadable": dict([*found.skipped_folders, *summary.failed]),
            }
            if summary.drift:
                about |= dict(zip(DRIFT, summary.drift, strict=True))
            rows.describe(about)
    _report(out, summary, found)


def predict(
    predictor: Predictor,
    folder: Path,
    paths: Sequence[str],
    rows: PredictionFile,
    batch_size: int,
) -> Summary:
    """Predict ``paths`` below ``folder`` in order, and add a row to ``rows`` for each.

    Each core decodes and computes its own batch. A forward pass on all cores would wait at every
    layer for the core that decodes at that moment.
    """
    failed: list[tuple[str, str]] = []
    computed = 0
    if predictor.drift:
        predictor.drift.spread(len(paths))
    size = max(1, min(batch_size, -(-len(paths) // cores())))
    batches = [paths[start : start + size] for start in range(0, len(paths), size)]
    results = map_in_order(
        partial(_predict_batch, predictor, folder.resolve()),
        batches,
        pending_per_core=2,
        initializer=partial(torch.set_num_threads, 1),
    )
    for result in progress(results, "predicting", len(batches)):
        rows.add(result.paths, result.probabilities)
        failed += result.failed
        computed += len(result.paths)
    return Summary(computed, failed, _drift(predictor))


@dataclass(frozen=True)
class _BatchResult:
    """The probabilities (N, classes) of ``paths``; ``failed`` are pairs (path, reason)."""

    paths: list[str]
    probabilities: Tensor
    failed: list[tuple[str, str]]


def _predict_batch(predictor: Predictor, root: Path, paths: Sequence[str]) -> _BatchResult:
    read = [(path, read_image(root, predictor, path)) for path in paths]
    failed = [(path, image) for path, image in read if isinstance(image, str)]
    images = {path: image for path, image in read if not isinstance(image, str)}
    if not images:
        return _BatchResult([], torch.empty(0, len(predictor.classes)), failed)
    probabilities = predictor.forward(torch.cat(list(images.values())), watch=True)
    finite = probabilities.isfinite().all(dim=1)
    failed += [(path, _NOT_FINITE) for path in compress(images, ~finite)]
    return _BatchResult(list(compress(images, finite)), probabilities[finite], failed)


def _drift(predictor: Predictor) -> tuple[float, int] | None:
    drift = predictor.drift
    score = drift.score if drift else None
    if drift is None or score is None or not math.isfinite(score):
        return None
    return score, drift.images


def _report(out: Path, summary: Summary, found: FoundImages) -> None:
    Console().print(f"{out}: {summary.computed} images predicted", highlight=False)
    if summary.drift is not None:
        score, images = summary.drift
        scale = "0: as the training images; 1: one standard deviation away"
        say(f"drift: {score:.2f} over {images} images ({scale})")
    if found.other_files:
        warn(f"{found.other_files} files were skipped: their names are not those of images")
    if found.system_folders:
        count, example = len(found.system_folders), found.system_folders[0]
        warn(f"{count} folders that systems add were skipped, for example {example}")
    if problems := [*found.skipped_folders, *summary.failed]:
        raise ProblemsError(
            "some images could not be predicted and have no row", problem_lines(problems)
        )
