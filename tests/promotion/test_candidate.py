from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.promotion.moves import versions
from tests.promotion.offering import offer
from thaw.errors import ThawError
from thaw.promotion.candidate import find_candidate
from thaw.registry.copying import copy_version

if TYPE_CHECKING:
    from tests.promotion.offered import Shop


@pytest.mark.slow
def test_a_copied_model_never_had_a_champion(local: Shop) -> None:
    name = "copied-anew"
    local.register("source-anew")
    local.register("source-anew", "same")
    for version in (1, 2):
        copy_version(f"models:/source-anew/{version}", name, local.params.tracking)
    local.client.delete_model_version(name, "1")
    assert local.register(name) == 3
    assert "champion" not in local.aliases(name)
    found = offer(local, name, 2)
    assert found.verdict == "passed"
    assert found.notes[:1] == [
        "there is no champion yet: floors, ceilings and provenance alone decide"
    ]
    assert local.aliases(name)["champion"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("version", [None, 2])
def test_the_challenger_is_the_candidate_by_default(local: Shop, version: int | None) -> None:
    name = f"by-default-{version}"
    versions(local, name, 2)
    found = find_candidate(local.ledger(name), version)
    assert (found.version, found.against, found.first) == (2, 1, 1)
    assert not found.has_lost_champion
    assert not found.is_moved_by_hand


def test_a_model_without_a_challenger_needs_a_version(local: Shop) -> None:
    ledger = versions(local, "only-one", 1)
    with pytest.raises(ThawError, match="no @challenger, and version 1 is the champion: name"):
        find_candidate(ledger)
    with pytest.raises(ThawError, match="only-one version 1 is the champion already"):
        find_candidate(ledger, 1)


@pytest.mark.slow
def test_a_candidate_records_that_the_champion_was_lost_or_moved_by_hand(local: Shop) -> None:
    name = "lost-or-moved"
    ledger = versions(local, name, 3)
    local.client.set_registered_model_alias(name, "champion", "2")
    assert find_candidate(ledger).is_moved_by_hand
    local.client.delete_registered_model_alias(name, "champion")
    found = find_candidate(ledger)
    assert found.has_lost_champion
    assert not found.is_moved_by_hand
