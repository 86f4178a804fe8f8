from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from tests import tiny
from tests.training import phase
from thaw.model.synced_batchnorm import synced
from thaw.training import loop
from thaw.training.batch_statistics import synced_statistics
from thaw.training.runtime import Runtime
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.literals import BatchNormPolicy


class TwoDevices(Runtime):
    """The runtime of one of two processes on a device of a given type."""

    kind = "cuda"

    @property
    def device(self) -> torch.device:
        return torch.device(self.kind)

    @property
    def world(self) -> int:
        return 2


class TwoCpus(TwoDevices):
    kind = "cpu"


@pytest.mark.parametrize(
    ("runtime", "policy", "batch", "parts", "is_synced"),
    [
        (TwoDevices, "train", 16, 1, True),
        (TwoDevices, "train", 31, 1, True),
        (TwoDevices, "train", 32, 1, False),
        (TwoDevices, "train", 64, 4, True),
        (TwoDevices, "frozen", 16, 1, False),
        (TwoCpus, "train", 16, 1, False),
        (Runtime, "train", 8, 1, False),
    ],
)
def test_small_batches_of_several_gpus_are_normalised_together(
    runtime: type[Runtime], policy: BatchNormPolicy, batch: int, parts: int, is_synced: bool
) -> None:
    model = phase.model(2, policy)
    setup = TrainingSetup(
        phase.config(batch_size=batch), phase.PLAIN.regularize, 0, accumulate=parts
    )
    made = runtime(**vars(tiny.runtime()))
    with synced_statistics(made, model, setup):
        found = [m for m in model.modules() if isinstance(m, nn.SyncBatchNorm)]
        assert len(found) == (2 if is_synced else 0)
    assert not [m for m in model.modules() if isinstance(m, nn.SyncBatchNorm)]


class Moving(Runtime):
    """The runtime of a process on a CPU under another name: moving to it replaces buffers."""

    @property
    def device(self) -> torch.device:
        return torch.device("cpu", 0)


def test_a_training_that_moves_the_network_keeps_the_synchronised_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = phase.images(tmp_path / "train"), phase.images(tmp_path / "val", phase.VAL)
    runtime = Moving(**vars(tiny.runtime()))
    expected, found = phase.model(2, "train"), phase.model(2, "train")
    phase.fit(tmp_path / "plain", expected, sources, runtime=runtime)
    # In one process, synchronised BatchNorm computes as the other does, also on a CPU.
    monkeypatch.setattr(loop, "synced_statistics", lambda *_: synced(found.blocks, [1, 2]))
    phase.fit(tmp_path / "synced", found, sources, runtime=runtime)
    assert phase.differing(phase.state(expected), phase.state(found)) == []
