"""The rows of epochs, predict, serve and shapes, with the options of a run, in the common table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.gpu import epochs, photo_shapes, predicting, serving
from benchmarks.gpu.inputs import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.gpu.measurement import Figure, Setting


def epoch_rows(setting: Setting) -> Iterator[Figure]:
    """Measure the idle share of an epoch, and the head warm-up from cached activations."""
    return _figures(setting, epochs.rows)


def predict_rows(setting: Setting) -> Iterator[Figure]:
    """Measure `thaw predict`."""
    return _figures(setting, predicting.rows)


def serve_rows(setting: Setting) -> Iterator[Figure]:
    """Measure `thaw serve`."""
    return _figures(setting, serving.rows)


def shape_rows(setting: Setting) -> Iterator[Figure]:
    """Measure images of many sizes, and JPEGs, beside images of one size."""
    return photo_shapes.rows(_options(setting), setting.folder / "shapes")


def _figures(setting: Setting, measure: Callable[[Options], list[Figure]]) -> Iterator[Figure]:
    for given in _options(setting):
        for figure in measure(given):
            network = given.backbone.partition("/")[2]
            yield replace(figure, name=f"{figure.name}, {network}, {given.precision}")


def _options(setting: Setting) -> list[Options]:
    """Return the options of a run: one for each backbone."""
    if setting.tiny:
        tiny = "timm/test_efficientnet"
        return [Options(setting.device.type, "fp32", tiny, images=32, batch=8, rounds=1, seconds=2)]
    return [
        Options(backbone=backbone, rounds=setting.repeats)
        for backbone in ("torchvision/resnet50", "timm/tf_efficientnet_lite0")
    ]
