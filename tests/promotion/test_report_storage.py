from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.promotion.offering import examined, kinds, offer
from thaw.promotion import promote as promotion
from thaw.promotion.status import alias_statuses
from thaw.registry.ledger import ConflictError, Ledger

if TYPE_CHECKING:
    from tests.promotion.offered import Shop


@pytest.mark.slow
def test_a_change_of_the_champion_while_the_gate_runs_is_a_conflict(any_shop: Shop) -> None:
    shop = any_shop
    name = "changed-while-examined"
    for quality in ("good", "same", "good"):
        shop.register(name, quality)
    late = examined(shop, name, 3)
    offer(shop, name, 2)
    with pytest.raises(ConflictError, match="the champion changed, look again"):
        promotion.record_result(*late)
    assert shop.aliases(name)["champion"] == 2
    assert shop.tags(name, 3)["gate"] == "conflict"
    description = str(shop.client.get_model_version(name, "3").description)
    assert "the champion changed, look again" in description
    by_hand = examined(shop, name, 3)
    shop.client.set_registered_model_alias(name, "champion", "1")
    with pytest.raises(ConflictError):
        promotion.record_result(*by_hand)
    assert kinds(shop, name) == ["first", "promotion"]


def test_a_version_whose_run_was_removed_for_good_can_be_promoted_by_force(local: Shop) -> None:
    name = "run-removed"
    local.register(name)
    local.register(name, "same")
    run_id = str(local.client.get_model_version(name, "2").run_id)
    local.client.delete_run(run_id)
    local.client._tracking_client.store._hard_delete_run(run_id)  # as `mlflow gc` does
    refused = offer(local, name, 2)
    assert {rule.name for rule in refused.failed} == {"committed", "data", "dvc.lock"}
    assert offer(local, name, 2, force=True, reason="it is known").verdict == "forced"
    assert local.aliases(name)["champion"] == 2
    assert "it is known" in str(local.client.get_model_version(name, "2").description)


@pytest.mark.slow
@pytest.mark.parametrize("alias", ["champion", "staging"])
def test_a_refusal_does_not_change_the_tags_of_an_approved_version(
    local: Shop, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"kept-{alias}"
    local.register(name)
    local.register(name, "same")
    offer(local, name, 2)
    before = {version: local.tags(name, version)["gate"] for version in (1, 2)}
    strict = local.rules(floors={"accuracy": 1.0})
    monkeypatch.setattr(local, "params", strict)
    offered = (1,) if alias == "champion" else (1, 2)
    for version in offered:
        assert offer(local, name, version, alias).verdict == "refused"
        assert local.tags(name, version)["gate"] == before[version]
        if alias == "staging":
            assert local.tags(name, version)["gate/staging"] == "refused"
    assert not any(one.moved_by_hand for one in alias_statuses(local.client, name))
    assert [row.decision.kind for row in Ledger(local.client, name, alias).rows()][
        -len(offered) :
    ] == ["refusal"] * len(offered)
