from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.gpu import bare_steps
from benchmarks.gpu.measurement import Setting
from thaw.training.determinism import debug_mode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def test_a_bare_step_after_a_training_is_measured_in_torchs_default_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []

    def measured(_: Callable[[], object], __: int) -> float:
        modes.append(torch.get_deterministic_debug_mode())
        return 1.0

    monkeypatch.setattr(bare_steps, "median_seconds", measured)
    with debug_mode(1):  # as a training leaves it
        list(bare_steps.rows(Setting(tmp_path, repeats=1, tiny=True)))
    assert modes == [0, 0]
