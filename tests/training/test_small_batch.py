from __future__ import annotations

from thaw.training.small_batch import SMALL_BATCH


def test_the_limit_is_that_of_the_paper() -> None:
    assert SMALL_BATCH == 8
