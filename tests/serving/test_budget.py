from __future__ import annotations

import pytest

from thaw.serving.budget import Budget, BudgetExceededError


def test_a_reservation_takes_and_returns_its_amount() -> None:
    budget = Budget(10)
    with budget.reserve(3) as first, budget.reserve() as second:
        second.grow(7)
        assert budget.used == 10
        with pytest.raises(BudgetExceededError):
            first.grow(1)
        assert budget.used == 10
    assert budget.used == 0


def test_a_reservation_over_the_limit_takes_nothing() -> None:
    budget = Budget(2)
    with pytest.raises(BudgetExceededError), budget.reserve(3):
        pass
    assert budget.used == 0


def test_an_error_inside_returns_the_amount() -> None:
    budget = Budget(2)
    with pytest.raises(ValueError, match="inside"), budget.reserve(2):
        raise ValueError("inside")
    assert budget.used == 0
