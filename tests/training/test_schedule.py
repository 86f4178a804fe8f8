from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from thaw.training.schedule import factor

CASES = [(100, 0.0), (100, 0.1), (100, 0.5), (100, 0.99), (7, 0.3), (3, 0.1), (1, 0.0), (1, 0.5)]


def curve(total: int, warmup_fraction: float) -> list[float]:
    return [factor(step, total, warmup_fraction, "cosine") for step in range(total)]


def test_without_warm_up_it_starts_at_the_full_rate() -> None:
    assert factor(0, 100, 0.0, "cosine") == 1.0


def test_with_warm_up_it_starts_low_and_reaches_the_full_rate_after_it() -> None:
    assert factor(0, 100, 0.1, "cosine") == pytest.approx(1 / 11)
    assert factor(9, 100, 0.1, "cosine") == pytest.approx(10 / 11)
    assert factor(10, 100, 0.1, "cosine") == 1.0


def test_half_way_down_is_half_the_rate_and_the_end_is_nothing() -> None:
    assert factor(55, 100, 0.1, "cosine") == pytest.approx(0.5)
    assert factor(100, 100, 0.1, "cosine") == pytest.approx(0.0)
    assert 0 < factor(99, 100, 0.1, "cosine") < 0.001


@pytest.mark.parametrize(("total", "warmup_fraction"), CASES)
def test_every_step_trains_and_none_above_the_full_rate(total: int, warmup_fraction: float) -> None:
    assert all(0 < value <= 1 for value in curve(total, warmup_fraction))


@pytest.mark.parametrize(("total", "warmup_fraction"), CASES)
def test_the_learning_rate_only_rises_in_the_warm_up_and_only_falls_after_it(
    total: int, warmup_fraction: float
) -> None:
    values = curve(total, warmup_fraction)
    top = values.index(max(values))
    assert top / total <= warmup_fraction + 1 / total
    rising, falling = pairwise(values[: top + 1]), pairwise(values[top:])
    assert all(before < after for before, after in rising)
    assert all(before > after for before, after in falling)


def test_the_schedule_is_a_pure_function_of_the_step() -> None:
    expected = curve(50, 0.1)
    steps = list(range(50))
    random.Random(0).shuffle(steps)
    assert all(factor(step, 50, 0.1, "cosine") == expected[step] for step in [*steps, *steps])


@pytest.mark.parametrize(("total", "warmup_fraction"), CASES)
def test_a_constant_rate_rises_as_the_cosine_does_and_stays(
    total: int, warmup_fraction: float
) -> None:
    warmup = math.ceil(total * warmup_fraction)
    values = [factor(step, total, warmup_fraction, "constant") for step in range(total)]
    assert values[:warmup] == curve(total, warmup_fraction)[:warmup]
    assert values[warmup:] == [1.0] * (total - warmup)
