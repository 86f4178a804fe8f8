from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.promotion.moves import moved
from tests.promotion.offering import offer
from thaw.errors import ThawError
from thaw.promotion.rollback import rollback
from thaw.promotion.verification import verify
from thaw.registry.copying import copy_version

if TYPE_CHECKING:
    from tests.promotion.offered import Shop


@pytest.mark.slow
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
    way = f"`thaw rollback --model {shlex.quote(name)}` makes version {left} the champion again"
    if not left:
        way = "there is no earlier champion to go back to"
    with pytest.raises(ThawError) as refused:
        offer(shop, name, 3)
    assert str(refused.value) == (
        f"{name}: {happened}, so that there is nothing to compare with: {way}; "
        f'`thaw promote 3 --model {shlex.quote(name)} --force --reason "..."` '
        "promotes without a comparison"
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("case", ["renamed", "another-model", "another-ledger"])
def test_only_force_promotes_if_a_damaged_row_may_name_a_champion(case: str, local: Shop) -> None:
    name = f"damaged-{case}"
    local.register(name)
    local.register(name, "bad")
    row, place = local.ledger(name).rows()[0].experiment_id, f"promotion/{name}/champion/1"
    if case == "another-model":
        local.client.set_experiment_tag(row, "thaw.model_created", "1")
    if case == "another-ledger":
        local.client.set_experiment_tag(row, "thaw.ledger", "q/champion")
    if case != "another-model":
        place = f"zzz-{case}"
        local.client.rename_experiment(row, place)
    local.client.delete_model_version(name, "1")
    with pytest.raises(ThawError) as refused:
        offer(local, name, 2)
    text = str(refused.value)
    assert text.startswith(f"{name}: the history has damaged rows: {place}: it was ")
    assert f"`thaw history --verify --model {shlex.quote(name)}` lists them" in text
    assert f'`thaw promote 2 --model {shlex.quote(name)} --force --reason "..."`' in text
    assert "champion" not in local.aliases(name)
    assert [one.place for one in verify(local.ledger(name)).problems] == [place]
    found = offer(local, name, 2, force=True, reason="a new start")
    assert (found.verdict, [rule.name for rule in found.failed][-1]) == ("forced", "comparison")
    assert not any("no champion yet" in note for note in found.notes)
    assert local.aliases(name)["champion"] == 2


@pytest.mark.slow
def test_a_damaged_row_does_not_stop_a_comparison_and_is_named_in_a_note(local: Shop) -> None:
    name = "damaged-with-champion"
    for _ in range(2):
        local.register(name)
    row = local.ledger(name).rows()[0].experiment_id
    local.client.rename_experiment(row, "zzz-with-champion")
    found = offer(local, name, 2)
    assert found.verdict == "passed"
    (note,) = (one for one in found.notes if "damaged rows" in one)
    assert "zzz-with-champion: it was renamed" in note
    assert note.endswith("(`thaw history --verify`)")


def test_damaged_rows_of_another_model_do_not_stop_the_first_promotion(local: Shop) -> None:
    local.register("damaged-neighbour")
    local.register("damaged-neighbour")
    moved(local.ledger("damaged-neighbour"), 2)
    first, second = local.ledger("damaged-neighbour").rows()
    local.client.set_experiment_tag(first.experiment_id, "thaw.to", "5")
    local.client.rename_experiment(second.experiment_id, "zzz-neighbour")
    copy_version("models:/damaged-neighbour/2", "copied-beside", local.params.tracking)
    found = offer(local, "copied-beside", 1)
    assert found.verdict == "passed"
    assert "there is no champion yet" in found.notes[0]
    assert local.aliases("copied-beside")["champion"] == 1
