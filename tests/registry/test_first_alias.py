"""Which alias a new version gets; tests/registry/test_register.py has those of whole models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.registry import names
from thaw.registry.aliases import aliases
from thaw.registry.first_alias import give_alias

if TYPE_CHECKING:
    from tests.promotion.offered import Shop


def test_the_first_version_is_champion_and_what_takes_its_place_is_never_one(local: Shop) -> None:
    client, name = local.client, "first-alias"
    first, second = (
        client.get_model_version(name, str(local.register(name, kind))) for kind in ("good", "bad")
    )
    digest = first.tags[names.DIGEST]
    assert give_alias(client, first, digest, ()) == "champion"  # as a repeated stage does
    assert aliases(client, name) == {"champion": 1, "challenger": 2}
    client.delete_registered_model_alias(name, "champion")
    assert give_alias(client, second, digest, ()) == "challenger"
    assert aliases(client, name) == {"challenger": 2}
    (row,) = local.ledger(name).rows()
    assert (row.decision.kind, row.decision.to, row.decision.model) == ("first", 1, digest)
