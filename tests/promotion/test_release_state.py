from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.promotion.offering import offer
from thaw.promotion.release_state import release_of
from thaw.promotion.rollback import rollback

if TYPE_CHECKING:
    from typing import Any

    from tests.promotion.offered import Shop


def state(shop: Shop, name: str, version: int) -> dict[str, Any]:
    found = release_of(shop.client, name, version)
    assert found is not None
    return found


@pytest.mark.slow
def test_a_version_on_which_nothing_was_decided_has_no_other_state(local: Shop) -> None:
    name = "undecided"
    local.register(name)
    local.register(name, "same")
    assert [release_of(local.client, name, number) for number in (1, 2)] == [None, None]


@pytest.mark.slow
def test_a_refused_version_has_the_failed_rules_with_their_sentences(local: Shop) -> None:
    name = "told-refused"
    local.register(name)
    local.register(name, "bad")
    report = offer(local, name, 2)
    found = state(local, name, 2)
    assert (found["label"], found["released"]) == ("Refused", False)
    assert f"by {report.who}: {report.outcome}. Version 1 is the champion." in found["reason"]
    assert found["decided"] == f"{report.when[:10]} {report.when[11:16]} UTC"
    assert [(r["name"], r["passed"], r["sentence"]) for r in found["rules"]] == [
        (rule.name, rule.passed, rule.sentence) for rule in report.rules
    ]
    assert release_of(local.client, name, 1) is None


@pytest.mark.slow
def test_promotion_and_rollback_are_told_for_both_versions(local: Shop) -> None:
    name = "told-promoted"
    local.register(name)
    local.register(name, "same")
    report = offer(local, name, 2)
    found = state(local, name, 2)
    assert (found["label"], found["released"]) == ("Released as champion", True)
    assert f"by {report.who}: passed all {len(report.rules)} rules" in found["reason"]
    assert len(found["rules"]) == len(report.rules)
    assert state(local, name, 1)["label"] == "Replaced"
    assert "until version 2 replaced it on" in state(local, name, 1)["reason"]
    rollback(local.ledger(name), "too slow")
    first, second = state(local, name, 1), state(local, name, 2)
    assert (first["label"], first["released"]) == ("Released as champion", True)
    assert first["reason"].startswith("Version 2 was rolled back to it on")
    assert first["reason"].endswith(": too slow.")
    assert (second["label"], second["released"]) == ("Rolled back", False)
    assert "until version 1 was set back on" in second["reason"]


@pytest.mark.slow
def test_a_forced_promotion_is_told_with_its_reason(local: Shop) -> None:
    name = "told-forced"
    local.register(name)
    local.register(name, "bad")
    offer(local, name, 2, force=True, reason="a demonstration")
    found = state(local, name, 2)
    assert found["label"] == "Released as champion"
    assert found["reason"].startswith("Promoted by force on")
    assert "a demonstration (" in found["reason"]
    assert not all(rule["passed"] for rule in found["rules"])


@pytest.mark.slow
def test_an_alias_that_was_set_by_hand_is_told_as_such(local: Shop) -> None:
    name = "told-by-hand"
    local.register(name)
    local.register(name, "same")
    local.client.set_registered_model_alias(name, "champion", "2")
    assert "set by hand" in state(local, name, 2)["reason"]
    assert "but version 2 has it now" in state(local, name, 1)["reason"]


@pytest.mark.slow
def test_another_alias_is_told_beside_the_champion(local: Shop) -> None:
    name = "told-staging"
    local.register(name)
    local.register(name, "same")
    offer(local, name, 2, "staging")
    found = state(local, name, 2)
    assert (found["label"], found["released"]) == ("Not released", False)
    assert "For @staging: released as staging. Promoted on" in found["reason"]
    assert found["rules"]


def test_the_first_version_stays_released_beside_another_alias(local: Shop) -> None:
    name = "told-first"
    local.register(name)
    local.client.set_registered_model_alias(name, "production", "1")
    found = state(local, name, 1)
    assert (found["label"], found["released"]) == ("Released as champion", True)
    assert found["reason"].startswith("It was the first version of the model")
    assert "For @production: released as production. The alias was set by hand" in found["reason"]


@pytest.mark.slow
def test_rules_that_were_changed_after_the_decision_are_left_out(local: Shop) -> None:
    name = "told-changed"
    local.register(name)
    local.register(name, "same")
    offer(local, name, 2)
    address = local.tags(name, 2)["gate.report"]
    run_id, _, path = address.removeprefix("runs:/").partition("/")
    local.client.log_text(run_id, "{}", path.replace("report.html", "report.json"))
    found = state(local, name, 2)
    assert found["released"]
    assert found["rules"] == []
