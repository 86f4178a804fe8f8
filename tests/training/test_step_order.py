from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests import tiny
from tests.training import phase
from thaw.data.random_draws import shuffled
from thaw.training.step_order import StepOrder

if TYPE_CHECKING:
    from pathlib import Path


def test_each_epoch_has_all_images_in_its_own_order(tmp_path: Path) -> None:
    order = StepOrder(tiny.runtime(), phase.images(tmp_path / "data"), 8, phase.SEED, 1)
    for epoch in (1, 2):
        found = np.concatenate([part.indices for part in order.parts(epoch)])
        assert found.tolist() == shuffled(phase.TRAIN, phase.SEED, epoch).tolist()


def test_the_first_batch_is_that_of_the_first_step(tmp_path: Path) -> None:
    source = phase.images(tmp_path / "data", augmented=True)
    order = StepOrder(tiny.runtime(), source, 8, phase.SEED, 1)
    parts = order.parts(1)
    expected = next(iter(tiny.runtime().load(source, parts, 1)))
    found = order.first_batch()
    assert found.indices.tolist() == parts[0].indices.tolist()
    assert (found.inputs == expected.inputs).all()
