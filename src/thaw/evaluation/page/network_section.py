"""The section on the network: size, latency, filters of the first layer, shift by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import nn

from thaw.evaluation.input_picture import INPUTS
from thaw.evaluation.latency import latency_ms
from thaw.evaluation.page.thumbnails import data_address
from thaw.evaluation.trained_blocks import count_trained
from thaw.model import directory
from thaw.model.sealed_files import size_mb

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.evaluation.page.subject import Subject
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

_MOST_FILTERS = 64
_FILTERS_IN_ROW = 16
_FILTER_SIDE = 36  # pixels
_GAP = 4
_WIDEST = 1600  # pixels of the picture of inputs


def network_section(subject: Subject) -> dict[str, Any]:
    """Return facts about the network, the pictures of its filters, and the shift by layer."""
    spec, classifier, folder = subject.spec, subject.classifier, subject.folder
    source = subject.data.images("test", spec.preprocessing)
    trained = count_trained(spec, subject.reports)
    return {
        "backbone": spec.backbone,
        "device": str(subject.runtime.device),
        "latency_ms": latency_ms(subject.runtime, classifier, source),
        "size_mb": size_mb(folder, spec.files),
        "parameters": sum(parameter.numel() for parameter in classifier.parameters()),
        "blocks": spec.blocks,
        "trained": trained,
        "image_size": spec.preprocessing.image_size,
        "framing": spec.preprocessing.framing,
        "batch_norm": spec.batch_norm,
        "mirrored": spec.mirrored,
        "taps": list(classifier.taps),
        "filters": first_filters(classifier),
        "inputs": picture_of_inputs(subject.reports / "warmup_head" / INPUTS),
        "shift": shift_by_layer(subject),
    }


def picture_of_inputs(path: Path) -> str | None:
    """Return the picture of what the network sees of images; None if it was not drawn."""
    if not path.is_file():
        return None
    with Image.open(path) as picture:
        return data_address(np.asarray(picture.convert("RGB")), _WIDEST)


def first_filters(classifier: Classifier) -> str | None:
    """Return a picture of the filters of the first convolution on colours; None without one.

    Each filter has its own scale: grey is 0.
    """
    first = next((m for m in classifier.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.in_channels != 3:
        return None
    weights = first.weight.detach().float().cpu().numpy()[:_MOST_FILTERS]
    peaks = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    values = weights / np.maximum(peaks, 1e-12) * 127.5 + 127.5
    return data_address(_grid(values.round().astype(np.uint8).transpose(0, 2, 3, 1)), 4096)


def shift_by_layer(subject: Subject) -> list[dict[str, Any]]:
    """Return for each folded BatchNorm how far training images are from what it expected.

    0 is equal, 1 is one standard deviation (median over the channels); the input comes first.
    """
    reference = directory.load_reference(subject.folder, subject.spec)
    if reference is None:
        return []
    order = [name for name, _ in subject.classifier.named_modules() if name in reference.expected]
    return [
        {"layer": name, "number": number, "shift": _distance(*reference.expected[name], *seen)}
        for number, name in enumerate(order, start=1)
        if (seen := reference.seen.get(name))
    ]


def architecture(spec: ModelSpec) -> str:
    """Return the name of the backbone without its library."""
    return spec.backbone.rsplit("/", 1)[-1]


def _distance(
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    seen_mean: NDArray[np.float64],
    seen_std: NDArray[np.float64],
) -> float:
    """Return the median 2-Wasserstein distance of normal distributions, in units of ``std``."""
    unit = np.maximum(std, 1e-3 * max(float(np.median(std)), 1e-12))
    return float(np.median(np.hypot(seen_mean - mean, seen_std - std) / unit))


def _grid(filters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return filters (N, K, K, 3) side by side, enlarged pixel by pixel."""
    times = max(1, _FILTER_SIDE // filters.shape[1])
    filters = filters.repeat(times, axis=1).repeat(times, axis=2)
    side, columns = filters.shape[1] + _GAP, min(_FILTERS_IN_ROW, len(filters))
    rows = -(-len(filters) // columns)
    grid = np.full((rows * side - _GAP, columns * side - _GAP, 3), 255, dtype=np.uint8)
    for number, each in enumerate(filters):
        top, left = number // columns * side, number % columns * side
        grid[top : top + side - _GAP, left : left + side - _GAP] = each
    return grid
