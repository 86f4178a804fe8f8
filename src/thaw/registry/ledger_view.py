"""The rows of a ledger that count, with those that the model has under earlier names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.registry import ledger_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thaw.registry.ledger_chain import Chain, Problem
    from thaw.registry.ledger_rows import Row


@dataclass(frozen=True)
class View:
    """Everything that a store has for the ledger ``key`` (MODEL/ALIAS).

    ``model_created`` is the creation timestamp (ms) of the registered model. ``own`` is the chain
    of the ledger, ``earlier`` are those of the names that the model had before. ``occupied`` are
    the names of experiments that are taken.
    """

    key: str
    model_created: int
    own: Chain
    earlier: Mapping[str, Chain]
    occupied: frozenset[str]

    @property
    def rows(self) -> list[Row]:
        """The rows of the registered model, oldest first."""
        return [row for row in self.all_rows if row.model == self.model_created]

    @property
    def all_rows(self) -> list[Row]:
        """The rows of this model, and of earlier models that had its name, oldest first."""
        before = [
            row
            for chain in self.earlier.values()
            for row in chain.rows
            if row.model == self.model_created
        ]
        own = [row for row in self.own.rows if row.model != self.model_created]
        since = [row for row in self.own.rows if row.model == self.model_created]
        return [*own, *before, *since] if before else list(self.own.rows)

    @property
    def has_any(self) -> bool:
        """True if any row was ever written for the registered model, whether it counts or not."""
        return any(row.model == self.model_created for row in (*self.rows, *self.unsigned))

    @property
    def unsigned(self) -> list[Row]:
        """The rows that no trusted key signed."""
        return [row for chain in (*self.earlier.values(), self.own) for row in chain.unsigned]

    @property
    def problems(self) -> list[Problem]:
        """All problems that were found, in the own ledger and under earlier names."""
        own = {one.place for one in self.own.problems}
        before = [one for chain in self.earlier.values() for one in chain.problems]
        return [*(one for one in before if one.place not in own), *self.own.problems]

    @property
    def next_number(self) -> int:
        """The number of the next row: the first free one."""
        number = self.own.last + 1
        while f"{ledger_tags.prefix_of(self.key)}{number}" in self.occupied:
            number += 1
        return number
