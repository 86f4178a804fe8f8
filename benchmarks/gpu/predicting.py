"""Measure `thaw predict` on a GPU against decoding and the forward pass alone.

Alone: ``python -m benchmarks.gpu.predicting --precision=bf16``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.bare_forward import best_forward, forward_rate
from benchmarks.gpu.inputs import options, write_model
from benchmarks.gpu.measurement import Figure
from benchmarks.gpu.photographs import write_photographs
from benchmarks.gpu.saved_figures import rows as table_rows
from thaw.serving.batch_decoding import decoded
from thaw.serving.batch_prediction import predict_folder
from thaw.serving.batch_results import in_batches
from thaw.serving.compute_device import choose_computing

if TYPE_CHECKING:
    from benchmarks.gpu.inputs import Options
    from thaw.model.predictor import Predictor

_SIZES = ((320, 256), (1600, 1200))


def rows(given: Options) -> list[Figure]:
    """Return the rows for small and for large JPEG files."""
    return [row for size in _SIZES for row in _rows_of_size(given, size)]


def _rows_of_size(given: Options, size: tuple[int, int]) -> list[Figure]:
    precision: Any = given.precision
    computing = choose_computing(given.device, precision, "torch")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        write_model(scratch / "model", given.backbone)
        write_photographs(scratch / "images", given.images, size)
        (scratch / "few").mkdir()
        (scratch / "few/0.jpg").hardlink_to(scratch / "images/000000.jpg")
        predictor = computing.predictor(scratch / "model")
        best, _ = best_forward(predictor, given.batch)
        decode, forward, predict = [], [], []
        for number in range(given.rounds):
            decode.append(decoding_rate(predictor, scratch / "images", given.batch))
            forward.append(forward_rate(predictor, best))
            start = _predict(scratch, "few", f"few-{number}.csv", given, computing)
            whole = _predict(scratch, "images", f"{number}.csv", given, computing)
            predict.append(given.images / (whole - start))
    ratios = [p / min(d, f) for p, d, f in zip(predict, decode, forward, strict=True)]
    pixels = f"{size[0]} x {size[1]} pixels"
    name = f"`thaw predict` over min(decode on all cores, bare forward), {pixels}"
    rate = "images/s"
    return [
        Figure(name, statistics.median(ratios), target=0.9),
        Figure(f"predict, without the start, {pixels}", statistics.median(predict), rate),
        Figure(f"decode on all cores, {pixels}", statistics.median(decode), rate),
        Figure(
            f"bare forward pass beside predict, {pixels}", statistics.median(forward), rate,
            note=f"batch {best}",
        ),
    ]  # fmt: skip


def decoding_rate(predictor: Predictor, folder: Path, batch: int) -> float:
    """Return the images per second that all cores decode, with nothing else to do."""
    paths = sorted(path.name for path in folder.iterdir())
    begun = time.perf_counter()
    for _ in decoded(predictor.reader, folder.resolve(), in_batches(paths, batch)):
        pass
    return len(paths) / (time.perf_counter() - begun)


def _predict(scratch: Path, images: str, out: str, given: Options, computing: Any) -> float:
    begun = time.perf_counter()
    predict_folder(
        str(scratch / "model"), scratch / images, scratch / out, given.batch, "torch", computing
    )
    return time.perf_counter() - begun


if __name__ == "__main__":
    print("\n".join(table_rows(rows(options(__doc__)))))
