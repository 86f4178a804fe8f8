"""Options, models and images of the benchmarks for GPUs."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from benchmarks.gpu.photographs import DISTINCT, photograph
from tests import settings
from thaw.data.loading import ImageSource
from thaw.data.pack_writer import PackWriter, encode
from thaw.data.packed_store import PackedStore
from thaw.data.preprocessing import Preprocessing
from thaw.model import directory, zoo
from thaw.model.assembly import assemble
from thaw.model.spec import ModelSpec, Parent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.model.classifier import Classifier

SIZE = 224  # pixels on a side of the networks' inputs
CLASSES = 16
PREPROCESSING = Preprocessing(
    short_side=256,
    max_megapixels=100.0,
    image_size=SIZE,
    crop_pct=0.875,
    interpolation="bicubic",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)


@dataclass(frozen=True)
class Options:
    """The parameters of a measurement.

    ``images`` are those of a folder or an epoch. ``rounds`` are measured, and the median is taken.
    """

    device: str = "cuda"
    precision: str = "bf16"
    backbone: str = "torchvision/resnet50"
    images: int = 11_520
    batch: int = 128
    rounds: int = 3
    seconds: float = 20.0


def options(description: str) -> Options:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=description)
    for field in fields(Options):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    return Options(**vars(parser.parse_args()))


def finished(device: torch.device) -> float:
    """Return the time in seconds after the device has ended its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(device: torch.device, work: Callable[[], Any]) -> float:
    """Return the seconds of ``work``, until the device has ended it."""
    begun = finished(device)
    work()
    return finished(device) - begun


def classifier(backbone: str) -> Classifier:
    """Return a classifier with random weights."""
    loaded, _ = zoo.load(settings.backbone(backbone, image_size=SIZE))
    return assemble(loaded, settings.head_spec(), CLASSES, image_size=SIZE).to(
        memory_format=torch.channels_last
    )


def write_model(folder: Path, backbone: str) -> None:
    """Write a model directory with random weights."""
    model = classifier(backbone)
    spec = ModelSpec(
        backbone=backbone,
        head=settings.head_spec(),
        classes=[f"class {number}" for number in range(CLASSES)],
        preprocessing=PREPROCESSING,
        blocks=len(model.blocks),
        parents=[Parent(stage="backbone", digest="0" * 64)],
    )
    directory.save(model, spec, folder)


def packed_source(folder: Path, count: int, **augmentation: float) -> ImageSource:
    """Return packed images of 320 x 256 pixels as inputs of a network."""
    pixels = [np.asarray(photograph(number)) for number in range(min(count, DISTINCT))]
    return source_of(folder, count, pixels, "raw", **augmentation)


def source_of(
    folder: Path,
    count: int,
    pixels: list[NDArray[np.uint8]],
    encoding: Literal["raw", "jpeg"],
    **augmentation: float,
) -> ImageSource:
    """Return ``count`` packed images as inputs of a network; ``pixels`` are taken in turn."""
    folder.mkdir()
    config = settings.prepare(encoding=encoding, short_side=min(min(x.shape[:2]) for x in pixels))
    encoded = [encode(image, config) for image in pixels]
    with PackWriter(folder, config) as writer:
        for number in range(count):
            content, size = encoded[number % len(encoded)]
            writer.append(content, [size])
    ids = np.arange(count, dtype=np.int64)
    augment = settings.augment(**augmentation)
    return ImageSource(PackedStore(folder), ids, ids % CLASSES, PREPROCESSING, 0, augment)
