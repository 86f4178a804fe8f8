"""Choose what computes a model: torch, or ONNX Runtime, which is faster on CPUs.

The ONNX graph is exported from the verified model directory at each start, and compared with the
model before it is used. So nothing is served that the registry does not know.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import interpolate

from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving.export_formats import check_packages, export, load_exported
from thaw.serving.parity import compare
from thaw.system.console import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from thaw.literals import ServingRuntime

# Noise images of the comparison: batch sizes, and the sides of the grids that are enlarged.
_BATCH_SIZES = (1, 2, 5, 16)
_GRID_SIDES = (4, 12, 36)


def use_runtime(runtime: ServingRuntime, predictor: Predictor, folder: Path) -> None:
    """Make ``runtime`` compute ``predictor``, which was loaded from the model directory ``folder``.

    ONNX Runtime computes in the thread that calls it. Several threads may call it at once.

    Raises:
        ThawError: a package is missing, or the exported model differs from the model.
    """
    if runtime == "torch":
        return
    check_packages("onnx", "--runtime onnx")
    say("exporting the model for ONNX Runtime; this takes about ten seconds")
    compute = load_exported("onnx", _export_in_process(folder), threads=1)
    size = predictor.spec.preprocessing.image_size
    comparison = compare(predictor.forward, compute, _noise_images(size))
    comparison.check("use --runtime torch")
    predictor.other_runtime = compute


def _export_in_process(folder: Path) -> bytes:
    """Return the ONNX graph, exported in a process of its own.

    The export takes seconds of Python, and disables logs and warnings of all threads meanwhile.

    Raises:
        ThawError: the process was killed.
    """
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(_export, folder).result()
    except BrokenProcessPool:
        raise ThawError(
            "the process that exports the model for ONNX Runtime was killed; it may "
            "need more memory; --runtime torch needs less"
        ) from None


def _export(folder: Path) -> bytes:
    predictor = Predictor(folder)
    return export(predictor, "onnx", {"digest": predictor.spec.digest}, any_size=False)


def _noise_images(size: int) -> Iterator[Tensor]:
    """Yield batches of images (N, 3, S, S), uint8, from coarse to fine noise."""
    generator = torch.Generator().manual_seed(0)
    for count in _BATCH_SIZES:
        for side in _GRID_SIDES:
            grid = torch.rand(count, 3, side, side, generator=generator)
            yield interpolate(grid, size=(size, size), mode="bilinear").mul_(255).to(torch.uint8)
