"""Measure `thaw predict` on a GPU against decoding and the forward pass alone.

Alone: ``python -m benchmarks.gpu.predicting --precision=bf16``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from benchmarks.gpu.inputs import SIZE, Row, options, seconds, write_model
from benchmarks.gpu.photographs import write_photographs
from benchmarks.result_tables import markdown
from thaw.serving.batch_decoding import decoded
from thaw.serving.batch_prediction import predict_folder
from thaw.serving.batch_results import in_batches
from thaw.serving.compute_device import choose_computing

if TYPE_CHECKING:
    from benchmarks.gpu.inputs import Options
    from thaw.model.predictor import Predictor

_PASSES = 30
_SIZES = ((320, 256), (1600, 1200))


def rows(given: Options) -> list[Row]:
    """Return the rows for small and for large JPEG files."""
    return [row for size in _SIZES for row in _rows_of_size(given, size)]


def _rows_of_size(given: Options, size: tuple[int, int]) -> list[Row]:
    precision: Any = given.precision
    computing = choose_computing(given.device, precision, "torch")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        write_model(scratch / "model", given.backbone)
        write_photographs(scratch / "images", given.images, size)
        (scratch / "few").mkdir()
        (scratch / "few/0.jpg").hardlink_to(scratch / "images/000000.jpg")
        predictor = computing.predictor(scratch / "model")
        decode, forward, predict = [], [], []
        for number in range(given.rounds):
            decode.append(decoding_rate(predictor, scratch / "images", given.batch))
            forward.append(forward_rate(predictor, given.batch))
            start = _predict(scratch, "few", f"few-{number}.csv", given, computing)
            whole = _predict(scratch, "images", f"{number}.csv", given, computing)
            predict.append(given.images / (whole - start))
    ratios = [p / min(d, f) for p, d, f in zip(predict, decode, forward, strict=True)]
    pixels = f"{size[0]} x {size[1]} pixels"
    of = f"{pixels}, {given.backbone}, {given.precision}"
    return [
        Row(
            f"`thaw predict` over min(decode on all cores, bare forward), {of}",
            "0.9",
            f"{statistics.median(ratios):.2f}",
        ),
        Row(
            f"  predict, without the start, {pixels}",
            "",
            f"{statistics.median(predict):.0f} images/s",
        ),
        Row(f"  decode on all cores, {pixels}", "", f"{statistics.median(decode):.0f} images/s"),
        Row(
            f"  bare forward, batches of {given.batch}, beside {pixels}",
            "",
            f"{statistics.median(forward):.0f} images/s",
        ),
    ]


def decoding_rate(predictor: Predictor, folder: Path, batch: int) -> float:
    """Return the images per second that all cores decode, with nothing else to do."""
    paths = sorted(path.name for path in folder.iterdir())
    begun = time.perf_counter()
    for _ in decoded(predictor.reader, folder.resolve(), in_batches(paths, batch)):
        pass
    return len(paths) / (time.perf_counter() - begun)


def forward_rate(predictor: Predictor, batch: int, passes: int = _PASSES) -> float:
    """Return the images per second of the forward pass, from pixels that are on the device."""
    images = torch.randint(0, 256, (batch, 3, SIZE, SIZE), dtype=torch.uint8)
    images = images.to(predictor.device)

    def work() -> None:
        for _ in range(passes):
            predictor.compute(images)

    predictor.compute(images)  # loads the kernels
    return batch * passes / seconds(predictor.device, work)


def _predict(scratch: Path, images: str, out: str, given: Options, computing: Any) -> float:
    begun = time.perf_counter()
    predict_folder(
        str(scratch / "model"), scratch / images, scratch / out, given.batch, "torch", computing
    )
    return time.perf_counter() - begun


if __name__ == "__main__":
    markdown(Row._fields, rows(options(__doc__)), Console())
