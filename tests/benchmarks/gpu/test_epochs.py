from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from benchmarks.gpu.epochs import computing, idle_share


@pytest.mark.parametrize(
    ("work", "share"),
    [
        ([], 1.0),
        ([(0.0, 10.0)], 0.0),
        ([(2.0, 4.0), (6.0, 9.0)], 0.5),
        ([(6.0, 9.0), (2.0, 4.0), (3.0, 7.0)], 0.3),  # two streams at a time
        ([(1.0, 9.0), (2.0, 3.0)], 0.2),
        ([(-5.0, 1.0), (9.0, 30.0)], 0.8),
        ([(-5.0, -1.0), (12.0, 30.0)], 1.0),
    ],
)
def test_the_idle_share_is_that_of_the_time_without_work(
    work: list[tuple[float, float]], share: float
) -> None:
    assert idle_share(work, 0.0, 10.0) == pytest.approx(share)


def event(device: str, name: str, begin: float, *, annotation: bool = False) -> SimpleNamespace:
    """Return an event of a profile, as far as the benchmark reads it."""
    span = SimpleNamespace(start=begin, end=begin + 1)
    kind = f"DeviceType.{device}"
    return SimpleNamespace(
        device_type=kind, name=name, time_range=span, is_user_annotation=annotation
    )


def test_copies_and_ranges_of_the_program_are_no_work_of_a_gpu() -> None:
    events = [
        event("CPU", "aten::conv2d", 0),
        event("CPU", "Optimizer.step#AdamW.step", 1, annotation=True),
        event("CUDA", "sm90_xmma_fprop", 2),
        event("CUDA", "Optimizer.step#AdamW.step", 3),  # has the name of that of the CPU
        event("CUDA", "benchmark: training step", 4, annotation=True),
        event("CUDA", "Memcpy HtoD (Pinned -> Device)", 5),
        event("CUDA", "Memset (Device)", 6),
        event("CUDA", "multi_tensor_apply_kernel", 7),
    ]
    assert computing(events, torch.device("cuda", 0)) == [(2, 3), (7, 8)]
    assert computing(events, torch.device("cpu")) == [(0, 1)]
