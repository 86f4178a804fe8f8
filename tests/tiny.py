"""A network of three blocks, a folder of images, and a runtime, all small, for tests."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from torch import nn

from tests import settings
from thaw.config.process_sections import Launch, Resources
from thaw.model import head
from thaw.model.classifier import Classifier
from thaw.training.runtime import Runtime, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.project import Project


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a block of convolution, BatchNorm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def classifier(classes: int = 3, seed: int = 0, dropout: float = 0.0) -> Classifier:
    """Return a classifier of images (N, 3, S, S) with three blocks and random statistics."""
    torch.manual_seed(seed)
    blocks = [block(3, 8, 2), block(8, 8), block(8, 16, 2)]
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
    top = head.build(settings.head_spec(hidden=[], dropout=dropout), 16, classes, seed)
    for parameter in top.parameters():
        nn.init.normal_(parameter, std=0.3)
    model = Classifier(blocks, pool, top)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean = torch.randn_like(module.bias) * 0.1
            module.running_var = torch.rand_like(module.bias) + 0.5
    return model.to(memory_format=torch.channels_last).eval()


def images(
    folder: Path,
    classes: tuple[str, ...] = ("blue", "green", "red"),
    each: int = 12,
    size: int = 16,
) -> Path:
    """Write ``each`` PNG files per class. Classes differ in colour, files of a class in noise."""
    generator = np.random.default_rng(0)
    for index, label in enumerate(classes):
        (folder / label).mkdir(parents=True)
        for number in range(each):
            pixels = generator.integers(0, 120, (size, size, 3))
            pixels[..., index % 3] += 100
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / label / f"{number:03d}.png")
    return folder


@contextmanager
def full_disk() -> Iterator[None]:
    """Make writes past 1,000 bytes fail with an OSError, as on a full disk.

    Use it only around the innermost lines of a test, because it also limits pytest's own files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def runtime(precision: Literal["auto", "bf16"] = "auto") -> Runtime:
    """Return a runtime of one process, as a stage starts it."""
    return start(
        Launch(threads=1, precision=precision),
        Resources(checkpoint_minutes=60.0, cache_gb=1.0),
    )


@contextmanager
def bf16_runtime() -> Iterator[Runtime]:
    """Return a runtime with ``launch.precision: bf16``, and reset Accelerate afterwards."""
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        yield runtime("bf16")
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def set_up(project: Project) -> None:
    """Add a folder of 36 images, and set a tiny network that trains one block for an epoch."""
    images(project.folder / "data/raw")
    project.set(
        data__source="folder",
        backbone__name="lenet5",
        backbone__weights="none",
        backbone__image_size=16,
        warmup_head__epochs=1,
        unfreeze__epochs=1,
        unfreeze__depth=1,
        fold_bn__epochs=1,
        launch__threads=1,
    )
