from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tests import tiny
from tests.training import phase
from thaw.evaluation.latency import latency_ms

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from thaw.model.classifier import Classifier
    from thaw.training.runtime import Runtime


class Clock:
    """A clock that only the calls of a slow layer move forward."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(nn.Module):
    """A layer that takes 1 s in its first calls and 2 ms afterwards."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.kernel = torch.ones(1, 3, 1, 1)
        self.shapes: list[tuple[int, ...]] = []
        self.precisions: set[torch.dtype] = set()

    def forward(self, inputs: Tensor) -> Tensor:
        self.clock.now += 1.0 if len(self.shapes) < 3 else 0.002
        self.shapes.append(tuple(inputs.shape))
        self.precisions.add(torch.nn.functional.conv2d(inputs, self.kernel).dtype)
        return inputs


def measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime | None = None
) -> tuple[float, Slow, Classifier]:
    """Return the latency of a slow network, its slow layer, and the network."""
    clock: Any = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    slow, model = Slow(clock), tiny.classifier().train()
    model.blocks[0] = nn.Sequential(slow, model.blocks[0])
    source = phase.images(folder / "images")
    return latency_ms(runtime or tiny.runtime(), model, source), slow, model


def test_latency_is_in_milliseconds_and_leaves_out_the_warm_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latency, _, _ = measured(tmp_path, monkeypatch)
    assert abs(latency - 2.0) < 1e-6


def test_latency_is_measured_on_one_image_in_evaluation_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, slow, model = measured(tmp_path, monkeypatch)
    assert set(slow.shapes) == {(1, 3, 16, 16)}
    assert not model.training


def test_latency_is_that_of_float32_in_which_models_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tiny.bf16_runtime() as runtime:
        assert runtime.precision.name == "bf16"
        _, slow, _ = measured(tmp_path, monkeypatch, runtime)
    assert slow.precisions == {torch.float32}
