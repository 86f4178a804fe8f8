from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.promotion.moves import moved, versions
from tests.registry.forged import written
from thaw.registry.doubtful_rows import damage, doubtful_rows
from thaw.registry.ledger_chain import Problem

if TYPE_CHECKING:
    from tests.promotion.offered import Shop
    from thaw.registry.ledger import Ledger


def hidden(shop: Shop, name: str, new_name: str = "", **tags: str) -> Ledger:
    """Change tags and name of the only row of a new model; return its ledger."""
    ledger = versions(shop, name, 2)
    row = ledger.rows()[0].experiment_id
    for tag, value in tags.items():
        shop.client.set_experiment_tag(row, f"thaw.{tag}", value)
    if new_name:
        shop.client.rename_experiment(row, new_name)
    return ledger


def of_bystander(shop: Shop, name: str) -> list[Problem]:
    """Return the doubtful rows of another model, which has no row."""
    shop.client.create_registered_model(name)
    return doubtful_rows(shop.ledger(name))


@pytest.mark.slow
def test_a_history_in_order_has_no_doubtful_row(local: Shop) -> None:
    ledger = versions(local, "in-order", 3)
    moved(ledger, 2)
    moved(ledger, 3)
    assert doubtful_rows(ledger) == []


CHANGES = {
    "name": ("lost-{}", {}),
    "number": ("promotion/{}/champion/x", {}),
    "model": ("", {"model_created": "1"}),
    "no-number": ("", {"model_created": "-"}),
    "ledger": ("", {"ledger": "q/champion"}),
    "content": ("", {"to": "7"}),
    "state": ("", {"state": "void"}),
    "ledger-and-name": ("lost-{}", {"ledger": "q/champion"}),
    "ledger-model-and-name": ("lost-{}", {"ledger": "q/champion", "model_created": "1"}),
    "as-another-model": ("promotion/owner/champion/{}", {"ledger": "owner/champion"}),
    "as-another-alias": ("promotion/{}/staging/1", {"ledger": "changed-as-another-alias/staging"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_row_is_found_by_its_name_its_tags_or_its_content(
    change: str, local: Shop
) -> None:
    if not local.client.search_registered_models("name = 'owner'"):
        versions(local, "owner", 1)
    new_name, tags = CHANGES[change]
    name = f"changed-{change}"
    ledger = hidden(local, name, new_name.format(name), **tags)
    (found,) = doubtful_rows(ledger)
    place = new_name.format(name) or f"promotion/{name}/champion/1"
    assert found.place in {place, "row 1"}
    assert of_bystander(local, f"beside-{name}") == []


@pytest.mark.slow
def test_a_changed_row_that_names_no_model_may_belong_to_any_new_one(local: Shop) -> None:
    written(local.client, "unknown-row", {"thaw.row_digest": "f" * 64, "thaw.ledger": "gone/x"})
    place = "unknown-row"
    newer = versions(local, "after-the-unknown-row", 1)
    assert [one.place for one in doubtful_rows(newer)] == []
    written(local.client, "unknown-row-2", {"thaw.row_digest": "f" * 64, "thaw.ledger": "gone/x"})
    try:
        assert [one.place for one in doubtful_rows(newer)] == [f"{place}-2"]
    finally:
        for name in (place, f"{place}-2"):
            found = local.client.get_experiment_by_name(name)
            assert found is not None
            for tag in found.tags:
                local.client.delete_experiment_tag(found.experiment_id, tag)


@pytest.mark.slow
def test_a_damaged_row_of_an_earlier_model_of_the_name_does_not_count(local: Shop) -> None:
    name = "made-again"
    hidden(local, name, to="7")
    local.client.delete_registered_model(name)
    local.register(name)
    assert local.aliases(name) == {"champion": 1}


def test_the_phrase_names_five_rows_and_counts_the_others() -> None:
    text = damage([Problem(f"row {number}", "why") for number in range(1, 8)])
    assert text.startswith("the history has damaged rows: row 1: why (skipped); row 2")
    assert text.endswith("row 5: why (skipped); 2 more")
