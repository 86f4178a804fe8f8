from __future__ import annotations

import pytest

from benchmarks.gpu.epochs import idle_share


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
