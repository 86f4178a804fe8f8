"""Limit the images and the bytes that all requests in progress hold together."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class BudgetExceededError(Exception):
    """The requests in progress hold as much as they may."""


@dataclass
class Budget:
    """A limit and how much of it is in use; used from one event loop, so it needs no lock."""

    limit: int
    used: int = 0

    @contextmanager
    def reserve(self, amount: int = 0) -> Iterator[Reservation]:
        """Take ``amount`` until the context ends.

        Raises:
            BudgetExceededError: the limit would be exceeded.
        """
        reservation = Reservation(self)
        reservation.grow(amount)
        try:
            yield reservation
        finally:
            self.used -= reservation.amount


@dataclass
class Reservation:
    """The part of a budget that one request holds."""

    budget: Budget
    amount: int = 0

    def grow(self, amount: int) -> None:
        """Take ``amount`` more.

        Raises:
            BudgetExceededError: the limit would be exceeded; nothing more is taken.
        """
        if self.budget.used + amount > self.budget.limit:
            raise BudgetExceededError
        self.budget.used += amount
        self.amount += amount
