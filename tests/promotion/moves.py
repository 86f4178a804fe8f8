"""Write promotions without the gate, and read the statuses of aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.promotion.status import AliasStatus, alias_statuses
from thaw.registry.ledger_rows import Decision
from thaw.registry.names import gate_tag

if TYPE_CHECKING:
    from tests.promotion.offered import Shop
    from thaw.registry.ledger import Ledger


def moved(ledger: Ledger, to: int) -> None:
    """Write the row and the tag of a promotion, without running the gate."""
    rows, standing = ledger.complete(), ledger.current_version()
    ledger.record(Decision("promotion", standing, to, standing, why=f"to {to}"), rows)
    tag = gate_tag("gate", ledger.alias)
    ledger.client.set_model_version_tag(ledger.name, str(to), tag, "passed")


def seen(shop: Shop, name: str) -> dict[str, AliasStatus]:
    """Return the status of each alias."""
    return {one.alias: one for one in alias_statuses(shop.client, name)}


def versions(shop: Shop, name: str, count: int) -> Ledger:
    """Register ``count`` versions; return the ledger of the champion."""
    for _ in range(count):
        shop.register(name)
    return shop.ledger(name)
