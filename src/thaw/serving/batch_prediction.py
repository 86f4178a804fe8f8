"""Predict a folder of images into a CSV file (`thaw predict`); a killed run continues."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.serving import output_names
from thaw.serving.batch_results import in_batches, on_cores, on_device
from thaw.serving.compute_device import Computing
from thaw.serving.image_files import find_images, refuse_output
from thaw.serving.image_limit import limit_images
from thaw.serving.model_uri import local_model
from thaw.serving.output_names import refuse_other_format
from thaw.serving.prediction_file import DRIFT, PRECISION, PredictionFile
from thaw.serving.prediction_summary import Summary
from thaw.serving.runtimes import use_runtime
from thaw.system.console import progress, say
from thaw.system.locks import only_process
from thaw.system.processes import cores
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from thaw.literals import ServingRuntime
    from thaw.model.drift import Drift
    from thaw.serving.batch_results import BatchResult

BATCH_SIZE = 32
BATCH_SIZE_ON_GPU = 128
_CPU = Computing()


def predict_folder(
    model_uri: str,
    folder: Path,
    out: Path,
    batch_size: int | None = None,
    runtime: ServingRuntime = "torch",
    computing: Computing = _CPU,
) -> Summary:
    """Predict every image below ``folder`` into ``out``.

    Images that have a row in ``out`` are not computed again. A batch has ``batch_size`` images, by
    default 32 on a CPU and 128 on a GPU.

    Raises:
        ThawError: the model or the folder does not exist, the model needs too much memory, ``out``
            must not be written or names another format, or another process writes it.
    """
    refuse_output(model_uri, folder, out)
    refuse_other_format(out, output_names.CSV)
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
                left = quantity(len(remaining), "image remains", "images remain")
                say(f"{out} has {quantity(len(rows.done), 'row')} already; {left}")
            size = batch_size or (BATCH_SIZE_ON_GPU if computing.is_gpu else BATCH_SIZE)
            if not computing.is_gpu:
                size = min(size, -(-len(remaining) // cores()))  # a batch for each core
            limit = limit_images(model.name, predictor, size)
            batches = in_batches(remaining, limit.batch)
            if computing.is_gpu:
                results = on_device(predictor, folder.resolve(), batches)
            else:
                results = on_cores(predictor, folder.resolve(), batches, limit.computing)
            if predictor.drift:
                predictor.drift.spread(len(remaining))
            done_before = len(rows.done)
            computed, failed = _write(rows, progress(results, "predicting", len(batches)))
            summary = Summary(
                out, model.name, computed, done_before, found, failed, _score(predictor.drift)
            )
            about = {
                "complete": True,
                "model": model.name,
                "runtime": runtime,
                "device": str(computing.device),
                "unreadable": dict(summary.unreadable),
            }
            if summary.drift:
                about |= dict(zip(DRIFT, summary.drift, strict=True))
            rows.describe(about)
    return summary


def _only_writer(out: Path) -> AbstractContextManager[None]:
    """Return a lock that another ``thaw predict`` to ``out`` on this machine does not get.

    The file of the lock is in the folder for temporary files: a lock beside ``out`` would remain.
    """
    place = out.parent.resolve() / out.name  # a link itself is replaced
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:32]
    folder = Path(tempfile.gettempdir()) / f"thaw-{os.getuid()}"
    return only_process(folder / f"{name}.lock", f"thaw predict --out {out}")


def _write(
    rows: PredictionFile, results: Iterable[BatchResult]
) -> tuple[int, list[tuple[str, str]]]:
    """Add the rows of ``results``; return their number, and (path, reason) of the failed images."""
    failed: list[tuple[str, str]] = []
    computed = 0
    for result in results:
        rows.add(result.paths, result.probabilities)
        failed += result.failed
        computed += len(result.paths)
    return computed, failed


def _score(drift: Drift | None) -> tuple[float, int] | None:
    score = drift.score if drift else None
    if drift is None or score is None or not math.isfinite(score):
        return None
    return score, drift.images
