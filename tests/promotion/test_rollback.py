from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.promotion.interrupted import Killed, killed_at
from tests.promotion.moves import moved, seen, versions
from tests.promotion.offering import examined, offer
from thaw.errors import ThawError
from thaw.promotion import promote as promotion
from thaw.promotion.rollback import rollback
from thaw.promotion.status import alias_statuses
from thaw.registry.champion_history import champion_stack
from thaw.registry.ledger_rows import Decision

if TYPE_CHECKING:
    from tests.promotion.offered import Shop


@pytest.mark.slow
@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_a_rollback_killed_between_two_steps_is_completed_or_has_no_effect(
    local: Shop, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"killed-back-{stride}"
    for quality in ("good", "same"):
        local.register(name, quality)
    for step in range(0, 10, stride):
        if local.aliases(name)["champion"] == 1:
            promotion.record_result(*examined(local, name, 2))
        rows = len(local.ledger(name).rows())
        with monkeypatch.context() as patch:
            killed_at(step, patch)
            try:
                rollback(local.ledger(name), "")
            except Killed:
                pass
            else:
                break
        alias_statuses(local.client, name)
        moved = len(local.ledger(name).rows()) > rows
        expected = {"champion": 1} if moved else {"champion": 2, "previous": 1}
        assert local.aliases(name) == expected
    assert 3 <= step < 9
    assert local.aliases(name) == {"champion": 1}


@pytest.mark.slow
def test_a_version_that_got_the_alias_by_hand_is_reported_and_no_rollback_returns_to_it(
    local: Shop,
) -> None:
    name = "laundered"
    for quality in ("good", "same", "good", "same"):
        local.register(name, quality)
    offer(local, name, 2)
    local.client.set_registered_model_alias(name, "champion", "3")
    found = offer(local, name, 4)
    assert "version 3 got the alias by hand: no promotion led to it" in found.notes
    assert local.aliases(name) == {"champion": 4, "previous": 2}
    assert not any(one.moved_by_hand for one in alias_statuses(local.client, name))
    assert rollback(local.ledger(name), "").to == 2
    assert local.aliases(name) == {"champion": 2, "previous": 1}
    assert rollback(local.ledger(name), "").to == 1


@pytest.mark.slow
def test_a_rollback_undoes_a_move_by_hand(local: Shop) -> None:
    ledger = versions(local, "undone", 3)
    moved(ledger, 2)
    local.client.set_registered_model_alias("undone", "champion", "3")
    assert rollback(ledger, "by hand").to == 2
    assert local.aliases("undone") == {"champion": 2, "previous": 1, "challenger": 3}
    assert not any(one.moved_by_hand for one in seen(local, "undone").values())


@pytest.mark.slow
def test_a_rollback_to_a_version_does_not_approve_it(local: Shop) -> None:
    ledger = versions(local, "landed", 4)
    moved(ledger, 2)
    moved(ledger, 4)
    # as an older version of thaw wrote it
    ledger.record(Decision("rollback", 4, 3, 2), ledger.rows())
    champion = seen(local, "landed")["champion"]
    assert (champion.version, champion.moved_by_hand) == (3, True)
    assert rollback(ledger, "").to == 2


@pytest.mark.slow
def test_repeated_rollbacks_skip_deleted_versions(local: Shop) -> None:
    ledger = versions(local, "back", 4)
    for version in (2, 3, 4):
        moved(ledger, version)
    assert champion_stack(ledger.rows(), ledger.first_by_tag()) == [1, 2, 3, 4]
    assert rollback(ledger, "").to == 3
    assert champion_stack(ledger.rows(), ledger.first_by_tag()) == [1, 2, 3]
    local.client.delete_model_version("back", "2")
    assert rollback(ledger, "").to == 1
    assert local.aliases("back") == {"champion": 1}
    with pytest.raises(ThawError, match="there is no previous champion to go back to"):
        rollback(ledger, "")


def test_each_alias_has_its_own_history(local: Shop) -> None:
    versions(local, "aliases", 2)
    staging = type(local.ledger("aliases"))(local.client, "aliases", "staging")
    moved(staging, 2)
    moved(staging, 1)
    assert rollback(staging, "").to == 2
    assert len(staging.rows()) == 3
    assert [row.decision.kind for row in local.ledger("aliases").rows()] == ["first"]
    assert local.aliases("aliases") == {"champion": 1, "challenger": 2, "staging": 2}


@pytest.mark.slow
def test_a_rollback_imports_no_torch(local: Shop) -> None:
    modules = "thaw.cli.alias_tables, thaw.promotion.rollback"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
