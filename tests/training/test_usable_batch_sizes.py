from __future__ import annotations

from thaw.training.usable_batch_sizes import FEW_IMAGES, SMALL_BATCH


def test_the_limits_are_those_of_the_paper() -> None:
    assert (SMALL_BATCH, FEW_IMAGES) == (8, 16)
