"""What computes a model: torch, or ONNX Runtime, which is faster on CPUs.

The graph is made of the checked model directory each time, so that nothing is served that the
registry does not know, and is held against the model before it answers.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn.functional import interpolate

from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving.export_formats import need, runner, written
from thaw.serving.parity import prove
from thaw.system.console import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

Runtime = Literal["torch", "onnx"]
_BATCHES = (1, 2, 5, 16)  # of the proof
_COARSE = (4, 12, 36)  # sides of the noise that its images are enlarged from


def use(runtime: Runtime, predictor: Predictor, folder: Path) -> None:
    """Have ``runtime`` compute ``predictor``, the model directory ``folder``.

    ONNX Runtime computes in the thread that asks, as several may at once.

    Raises:
        ThawError: a package is missing, or the exported model is another one.
    """
    if runtime == "torch":
        return
    need("onnx", "--runtime onnx")
    say("exporting the model for ONNX Runtime, which takes some ten seconds")
    run = runner("onnx", _exported(folder), threads=1)
    size = predictor.spec.preprocessing.image_size
    prove(predictor.forward, run, _noise(size)).check("--runtime torch computes the model itself")
    predictor.elsewhere = run


def _exported(folder: Path) -> bytes:
    """The graph, made in a process of its own.

    It takes seconds of Python, and silences logs and warnings of all threads meanwhile.
    """
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(_export, folder).result()
    except BrokenProcessPool:
        raise ThawError("the process that exports the model for ONNX Runtime was killed") from None


def _export(folder: Path) -> bytes:
    predictor = Predictor(folder)
    return written(predictor, "onnx", {"digest": predictor.spec.digest})


def _noise(size: int) -> Iterator[Tensor]:
    """Batches of images (N, 3, S, S), uint8, from coarse to fine."""
    generator = torch.Generator().manual_seed(0)
    for count in _BATCHES:
        for coarse in _COARSE:
            field = torch.rand(count, 3, coarse, coarse, generator=generator)
            yield interpolate(field, size=(size, size), mode="bilinear").mul_(255).to(torch.uint8)
