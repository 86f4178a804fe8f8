"""A model directory and images for what is registered and served."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import nn

from tests import settings
from thaw.data.preprocessing import Preprocessing
from thaw.model import batchnorm, directory, head, zoo
from thaw.model.classifier import Classifier
from thaw.model.drift import FoldedPlaces, Reference
from thaw.model.predictor import Predictor
from thaw.model.spec import ModelSpec, Parent

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ["cat", "dog", "yak"]


def model_directory(folder: Path, seed: int = 0, max_megapixels: float = 1.0) -> ModelSpec:
    """Write the smallest network that the zoo can cut, untrained, as a model directory."""
    backbone, _ = zoo.load(settings.backbone("timm/test_efficientnet"), seed=seed)
    top = head.build(settings.head_spec(), backbone.features, len(CLASSES), seed)
    torch.manual_seed(seed)
    for parameter in top.parameters():  # a new head gives every class the same probability
        nn.init.normal_(parameter)
    spec = ModelSpec(
        backbone=backbone.name,
        head=settings.head_spec(),
        blocks=len(backbone.blocks),
        classes=CLASSES,
        preprocessing=Preprocessing(
            short_side=48,
            max_megapixels=max_megapixels,
            image_size=32,
            crop_pct=1.0,
            interpolation=backbone.interpolation,
            mean=backbone.mean,
            std=backbone.std,
        ),
        parents=[Parent(stage="backbone", digest="untrained")],
    )
    return directory.save(Classifier(backbone.blocks, backbone.pool, top), spec, folder)


def with_statistics(model: Path, folder: Path) -> None:
    """Return the model in the form that is deployed, with what passes through it on 64 images."""
    classifier, spec = directory.load(model)
    inputs = spec.preprocessing.normalize(
        torch.cat([Predictor(model).read(image(seed)) for seed in range(64)]).float() / 255
    )
    batchnorm.fold_all(classifier)
    folded = batchnorm.affine_names(classifier)
    pairs = batchnorm.merge_pairs(classifier, inputs[:1])
    batchnorm.merge(classifier, pairs)
    spec = spec.model_copy(update={"folded": folded, "merged": pairs})
    with FoldedPlaces.of(folded, pairs).watched(classifier) as moments, torch.inference_mode():
        classifier(inputs)
    seen = {name: (found.mean, found.std) for name, found in moments.items()}
    directory.save(classifier, spec, folder, Reference(seen))


def uniform(value: int) -> bytes:
    """Return a PNG of one grey value."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def image(seed: int = 0, size: int = 40) -> bytes:
    """Return a PNG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def text(content: bytes) -> str:
    """Base64, as a client sends it."""
    return base64.b64encode(content).decode()


def overflowing(model: Path, folder: Path) -> Path:
    """Copy a model directory with finite weights so large that no probability is finite."""
    classifier, spec = directory.load(model)
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.fill_(1e38)
    directory.save(classifier, spec, folder)
    return folder
