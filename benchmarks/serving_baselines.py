"""Baselines of `thaw serve` and `thaw predict`: decoding and the network alone."""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch
from torch import nn

from tests import settings
from thaw.data.preprocessing import Preprocessing
from thaw.model import batchnorm, directory, zoo
from thaw.model.assembly import assemble
from thaw.model.drift import FoldedPlaces, Reference
from thaw.model.predictor import Predictor
from thaw.model.spec import ModelSpec, Parent

if TYPE_CHECKING:
    from pathlib import Path

_SIZES = (1, 4, 8, 16, 32)
_SIZE = 224


def lite0(folder: Path, classes: int = 10) -> None:
    """Write EfficientNet-Lite0 at 224 px as `fold_bn` does: merged, with statistics for drift."""
    backbone, digest = zoo.load(
        settings.backbone("timm/tf_efficientnet_lite0", weights="packaged", image_size=_SIZE)
    )
    head = settings.head_spec()
    model = assemble(backbone, head, classes, image_size=_SIZE)
    for parameter in model.head.parameters():
        nn.init.normal_(parameter, std=0.05)
    model.eval()
    batchnorm.fold_all(model)
    folded = batchnorm.affine_names(model)
    example = torch.zeros(1, 3, _SIZE, _SIZE)
    merged = batchnorm.merge_pairs(model, example)
    batchnorm.merge(model, merged)
    places = FoldedPlaces.of(folded, merged)
    with places.watched(model) as moments, torch.inference_mode():
        model(torch.randn(8, 3, _SIZE, _SIZE))
    preprocessing = Preprocessing(
        short_side=256,
        max_megapixels=100.0,
        image_size=_SIZE,
        crop_pct=0.875,
        interpolation=backbone.interpolation,
        mean=backbone.mean,
        std=backbone.std,
    )
    spec = ModelSpec(
        backbone=backbone.name,
        head=head,
        classes=[f"class {number}" for number in range(classes)],
        preprocessing=preprocessing,
        blocks=len(backbone.blocks),
        folded=folded,
        merged=merged,
        parents=[Parent(stage="backbone", digest=digest)],
    )
    reference = Reference({name: (m.mean, m.std) for name, m in moments.items()})
    directory.save(model, spec, folder, reference)


def bare_batches(model: Path, folder: Path) -> dict[int, float]:  # noqa: ARG001  (as bare_folder)
    """Return images per second of the forward pass alone, by batch size."""
    predictor = Predictor(model)
    rates = {}
    for size in _SIZES:
        images = torch.randint(0, 255, (size, 3, _SIZE, _SIZE), dtype=torch.uint8)
        inputs = predictor.spec.preprocessing.normalize(images / 255)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        seconds = []
        with torch.inference_mode():
            for _ in range(12 if size > 4 else 24):
                start = time.perf_counter()
                predictor.classifier(inputs)
                seconds.append(time.perf_counter() - start)
        rates[size] = size / statistics.median(seconds[2:])
    return rates


def bare_folder(model: Path, folder: Path) -> dict[str, float]:
    """Return the seconds to decode the images of a folder on all cores and to classify them."""
    predictor = Predictor(model)
    paths = sorted(folder.iterdir())
    start = time.perf_counter()
    decoding = computing = 0.0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for place in range(0, len(paths), 32):
            begin = time.perf_counter()
            part = paths[place : place + 32]
            images = list(pool.map(lambda path: predictor.read(path.read_bytes()), part))
            between = time.perf_counter()
            predictor.forward(torch.cat(images))
            decoding += between - begin
            computing += time.perf_counter() - between
    return {
        "seconds": time.perf_counter() - start,
        "decoding": decoding,
        "computing": computing,
        "images": float(len(paths)),
    }
