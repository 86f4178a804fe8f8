"""Write promotions without the gate, and read the statuses of aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.promotion.status import AliasStatus, alias_statuses
from thaw.registry.ledger_rows import Decision
from thaw.registry.names import CHALLENGER, GATE, gate_tag

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
    """Register ``count`` versions of one model; return the ledger of the champion.

    Only the first one is logged: that is most of the time of a registration.
    """
    first = shop.client.get_model_version(name, str(shop.register(name)))
    source = str(first.source)
    tags = {key: value for key, value in first.tags.items() if key != GATE}
    for _ in range(count - 1):
        made = shop.client.create_model_version(
            name, source, first.run_id, tags, model_id=source.removeprefix("models:/")
        )
        shop.client.set_registered_model_alias(name, CHALLENGER, str(made.version))
    return shop.ledger(name)
