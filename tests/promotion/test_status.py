from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.promotion.moves import moved, seen, versions

if TYPE_CHECKING:
    from tests.promotion.offered import Shop


def test_the_first_champion_has_no_gate_result(local: Shop) -> None:
    versions(local, "first-two", 2)
    found = seen(local, "first-two")
    assert list(found) == ["champion", "challenger"]
    assert (found["champion"].gate, found["champion"].moved_by_hand) == ("first, no gate", False)
    assert (found["challenger"].gate, found["challenger"].moved_by_hand) == (
        "not offered yet",
        False,
    )
    assert found["champion"].metrics == {"accuracy": 0.9}
    assert found["champion"].run_id
    assert datetime.now(UTC) - found["champion"].created < timedelta(minutes=10)


@pytest.mark.slow
def test_a_score_that_is_no_number_is_left_out(local: Shop) -> None:
    versions(local, "scores", 1)
    for metric, value in {"accuracy": "[/x]", "log_loss": "1e999", "macro_f1": "0.5"}.items():
        local.client.set_model_version_tag("scores", "1", f"test.{metric}", value)
    assert seen(local, "scores")["champion"].metrics == {"macro_f1": 0.5}


@pytest.mark.slow
def test_an_alias_that_was_moved_by_hand_is_marked(local: Shop) -> None:
    ledger = versions(local, "hand", 3)
    local.client.set_registered_model_alias("hand", "champion", "3")
    champion = seen(local, "hand")["champion"]
    assert champion.moved_by_hand
    assert champion.gate == "moved by hand: it passed no gate (not offered yet)"
    moved(ledger, 2)
    assert not seen(local, "hand")["champion"].moved_by_hand
    local.client.set_registered_model_alias("hand", "champion", "1")
    champion = seen(local, "hand")["champion"]
    assert champion.moved_by_hand
    assert champion.gate.startswith("moved by hand: the last change was to version 2")
    local.client.set_registered_model_alias("hand", "production", "2")
    production = seen(local, "hand")["production"]  # the champion's gate is not production's
    assert production.gate == "moved by hand: it passed no gate (not offered yet)"
    assert production.moved_by_hand


@pytest.mark.slow
def test_the_status_has_the_time_when_a_version_got_the_alias(local: Shop) -> None:
    ledger = versions(local, "since", 3)
    found = seen(local, "since")
    (first,) = ledger.rows()
    assert found["champion"].since == datetime.fromisoformat(first.when)
    assert found["challenger"].since is None
    moved(ledger, 2)
    found = seen(local, "since")
    when = datetime.fromisoformat(ledger.rows()[-1].when)
    assert found["champion"].since == found["previous"].since == when
    local.client.set_registered_model_alias("since", "champion", "3")
    assert seen(local, "since")["champion"].since is None


@pytest.mark.slow
def test_a_first_champion_whose_tag_was_deleted_is_known_by_the_history(local: Shop) -> None:
    versions(local, "untagged", 1)
    local.client.delete_model_version_tag("untagged", "1", "gate")
    champion = seen(local, "untagged")["champion"]
    assert (champion.gate, champion.moved_by_hand) == ("first, no gate", False)
