"""The rows of epochs, predict and serve, whose modules also run alone, in the common table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmarks.gpu import epochs, predicting, serving
from benchmarks.gpu.inputs import Options
from benchmarks.gpu.measurement import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.gpu.inputs import Row
    from benchmarks.gpu.measurement import Setting

_NUMBER = re.compile(r"\d+(\.\d+)?")


def epoch_rows(setting: Setting) -> Iterator[Figure]:
    """Measure the idle share of an epoch, and the head warm-up from cached activations."""
    return _figures(setting, epochs.rows)


def predict_rows(setting: Setting) -> Iterator[Figure]:
    """Measure `thaw predict`."""
    return _figures(setting, predicting.rows)


def serve_rows(setting: Setting) -> Iterator[Figure]:
    """Measure `thaw serve`."""
    return _figures(setting, serving.rows)


def _figures(setting: Setting, measure: Callable[[Options], list[Row]]) -> Iterator[Figure]:
    for given in _options(setting):
        for row in measure(given):
            name, limit, value = row
            number = _NUMBER.match(value)
            yield Figure(
                name.strip(), float(number[0]) if number else 0.0, note=given.backbone,
                texts=(value, limit),
            )  # fmt: skip


def _options(setting: Setting) -> list[Options]:
    """Return the options of a run: one for each backbone."""
    if setting.tiny:
        tiny = "timm/test_efficientnet"
        return [Options(setting.device.type, "fp32", tiny, images=32, batch=8, rounds=1, seconds=2)]
    return [
        Options(backbone=backbone, rounds=setting.repeats)
        for backbone in ("torchvision/resnet50", "timm/tf_efficientnet_lite0")
    ]
