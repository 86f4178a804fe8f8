"""Predict a folder of images into a CSV file (`thaw predict`); a killed run continues."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from thaw.errors import ProblemsError
from thaw.serving.batch_results import in_batches, on_cores, on_device
from thaw.serving.compute_device import Computing
from thaw.serving.image_files import find_images, problem_lines, refuse_output
from thaw.serving.model_uri import local_model
from thaw.serving.prediction_file import DRIFT, PRECISION, PredictionFile
from thaw.serving.runtimes import use_runtime
from thaw.system.console import progress, say, warn
from thaw.system.locks import only_process
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from thaw.model.drift import Drift
    from thaw.serving.batch_results import BatchResult
    from thaw.serving.image_files import FoundImages
    from thaw.serving.runtimes import Runtime

BATCH_SIZE = 32
BATCH_SIZE_ON_GPU = 128
_CPU = Computing()


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
    batch_size: int | None = None,
    runtime: Runtime = "torch",
    computing: Computing = _CPU,
) -> None:
    """Predict every image below ``folder`` into ``out``, and print a summary.

    Images that have a row in ``out`` are not computed again. A batch has ``batch_size`` images, by
    default 32 on a CPU and 128 on a GPU.

    Raises:
        ThawError: the model or the folder does not exist, ``out`` must not be written, or another
            process writes it.
        ProblemsError: some images cannot be read; all others are predicted.
    """
    refuse_output(model_uri, folder, out)
    found = find_images(folder)
    with local_model(model_uri) as model:
        predictor = computing.predictor(model.folder)
        use_runtime(runtime, predictor, model.folder)
        owner = {
            "digest": predictor.spec.digest,
            "folder": str(folder.resolve()),
            PRECISION: computing.precision.name,
        }
        with _only_writer(out), PredictionFile(out, owner, predictor.classes) as rows:
            remaining = [path for path in found.paths if path not in rows.done]
            if rows.done:
                say(f"{out} has {len(rows.done)} rows already; {len(remaining)} images remain")
            size = batch_size or (BATCH_SIZE_ON_GPU if computing.is_gpu else BATCH_SIZE)
            if not computing.is_gpu:
                size = min(size, -(-len(remaining) // cores()))  # a batch for each core
            batches = in_batches(remaining, size)
            compute = on_device if computing.is_gpu else on_cores
            results = compute(predictor, folder.resolve(), batches)
            if predictor.drift:
                predictor.drift.spread(len(remaining))
            summary = _write(rows, progress(results, "predicting", len(batches)), predictor.drift)
            about = {
                "complete": True,
                "model": model.name,
                "runtime": runtime,
                "device": str(computing.device),
                "unreadable": dict([*found.skipped_folders, *summary.failed]),
            }
            if summary.drift:
                about |= dict(zip(DRIFT, summary.drift, strict=True))
            rows.describe(about)
    _report(out, summary, found)


def _only_writer(out: Path) -> AbstractContextManager[None]:
    """Return a lock that another ``thaw predict`` to ``out`` on this machine does not get.

    The file of the lock is in the folder for temporary files: a lock beside ``out`` would remain.
    """
    place = out.parent.resolve() / out.name  # a link itself is replaced
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:32]
    folder = Path(tempfile.gettempdir()) / f"thaw-{os.getuid()}"
    return only_process(folder / f"{name}.lock", f"thaw predict --out {out}")


def _write(rows: PredictionFile, results: Iterable[BatchResult], drift: Drift | None) -> Summary:
    """Add the rows of ``results`` as they come."""
    failed: list[tuple[str, str]] = []
    computed = 0
    for result in results:
        rows.add(result.paths, result.probabilities)
        failed += result.failed
        computed += len(result.paths)
    return Summary(computed, failed, _score(drift))


def _score(drift: Drift | None) -> tuple[float, int] | None:
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
