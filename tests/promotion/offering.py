"""Promote versions of a project and run the gate."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from thaw.promotion import promote as promotion
from thaw.promotion.candidate import find_candidate
from thaw.promotion.promote import PromotionRequest

if TYPE_CHECKING:
    from tests.promotion.offered import Shop
    from thaw.promotion.candidate import Candidate
    from thaw.promotion.gate_report import Report


def offer(
    shop: Shop, name: str, version: int | None = None, alias: str = "champion", **options: Any
) -> Report:
    """Promote a version, by default the challenger; return the report of the gate."""
    with contextlib.chdir(shop.folder):  # where dvc.lock lies
        request = PromotionRequest(name, alias, version, **options)
        return promotion.promote(shop.params, shop.prepared, request)


def kinds(shop: Shop, name: str) -> list[str]:
    """Return the kind of each row in the history of the champion."""
    return [row.decision.kind for row in shop.ledger(name).rows()]


def examined(shop: Shop, name: str, version: int) -> tuple[Candidate, Report]:
    """Return a candidate and the report of the gate, without recording the result."""
    made = find_candidate(shop.ledger(name), version)
    with contextlib.chdir(shop.folder):
        return made, promotion.run_gate(
            shop.params, shop.prepared, made, PromotionRequest(name, "champion", version)
        )
