from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.promotion.offering import offer
from thaw.errors import ThawError
from thaw.promotion.rollback import rollback
from thaw.registry.copying import copy_version

if TYPE_CHECKING:
    from tests.promotion.offered import Shop


@pytest.mark.parametrize(
    ("by", "promoted"),
    [
        ("alias", False),
        ("version", False),
        ("alias and tag", True),
        pytest.param("alias", True, marks=pytest.mark.soak),
        pytest.param("version", True, marks=pytest.mark.soak),
        pytest.param("alias and tag", False, marks=pytest.mark.soak),
        pytest.param("version over REST", False, marks=pytest.mark.soak),
        pytest.param("version over REST", True, marks=pytest.mark.soak),
    ],
)
def test_no_version_is_promoted_without_a_comparison_after_the_champion_was_removed(
    request: pytest.FixtureRequest, by: str, promoted: bool
) -> None:
    shop: Shop = request.getfixturevalue("remote" if "REST" in by else "local")
    name = f"robbed-{by}-{promoted}"
    for quality in ("good", "same", "bad"):
        shop.register(name, quality)
    if promoted:
        offer(shop, name, 2)
    champion = shop.aliases(name)["champion"]
    if "tag" in by:
        shop.client.delete_model_version_tag(name, str(champion), "gate")
    if "alias" in by:
        shop.client.delete_registered_model_alias(name, "champion")
        happened = f"the champion alias was removed from version {champion}"
    else:
        shop.client.delete_model_version(name, str(champion))
        happened = f"version {champion}, the last champion, was deleted"
    left = champion if "alias" in by else champion - 1
    way = f"`thaw rollback --model {name}` makes version {left} the champion again"
    if not left:
        way = "there is no earlier champion to go back to"
    with pytest.raises(ThawError) as refused:
        offer(shop, name, 3)
    assert str(refused.value) == (
        f"{name}: {happened}, so that there is nothing to compare with: {way}; "
        f'`thaw promote 3 --model {name} --force --reason "..."` promotes without a comparison'
    )
    assert "champion" not in shop.aliases(name)
    assert shop.register(name, "bad") == 4
    assert shop.aliases(name)["challenger"] == 4
    assert "champion" not in shop.aliases(name)
    if left:
        rollback(shop.ledger(name), "")
        assert shop.aliases(name)["champion"] == left
    else:
        with pytest.raises(ThawError, match="there is no previous champion to go back to"):
            rollback(shop.ledger(name), "")


def test_a_model_whose_versions_were_all_deleted_had_a_champion(local: Shop) -> None:
    name = "emptied"
    for version in (1, 2):
        assert local.register(name) == version
    for version in (1, 2):
        local.client.delete_model_version(name, str(version))
    assert local.register(name, "bad") == 3
    assert local.aliases(name) == {"challenger": 3}
    with pytest.raises(ThawError, match="version 1, the last champion, was deleted"):
        offer(local, name)
    assert offer(local, name, force=True, reason="a new start").verdict == "forced"
    assert local.aliases(name) == {"champion": 3}


def test_a_champion_put_there_by_hand_is_known_once_it_was_compared_with(local: Shop) -> None:
    name = "copied-by-hand"
    local.register("source-by-hand")
    local.register("source-by-hand", "bad")
    for version in (1, 2):
        copy_version(f"models:/source-by-hand/{version}", name, local.params.tracking)
    local.client.set_registered_model_alias(name, "champion", "1")
    assert offer(local, name, 2).verdict == "refused"
    local.client.delete_registered_model_alias(name, "champion")
    with pytest.raises(ThawError, match="the champion alias was removed from version 1, so that"):
        offer(local, name, 2)


def test_after_a_removed_champion_only_force_promotes_and_is_recorded(local: Shop) -> None:
    name = "robbed-forced"
    local.register(name)
    local.register(name, "same")
    local.client.delete_registered_model_alias(name, "champion")
    found = offer(local, name, force=True, reason="that was me")
    assert [rule.name for rule in found.failed] == ["comparison"]
    assert found.verdict == "forced"
    assert local.aliases(name) == {"champion": 2, "previous": 1}
    assert rollback(local.ledger(name), "").to == 1
