from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.promotion.moves import moved, seen, versions
from tests.promotion.offering import offer
from tests.registry.forged import KEY, row_after, rows
from thaw.promotion.rollback import rollback
from thaw.registry.ledger import Ledger
from thaw.registry.ledger_chain import check_chain
from thaw.registry.ledger_rows import Decision
from thaw.registry.ledger_view import View

if TYPE_CHECKING:
    from tests.promotion.offered import Shop


def test_the_rows_of_earlier_names_stand_before_those_of_the_present_one() -> None:
    old = rows(2)
    other_model = row_after([], Decision("promotion", None, 9, None), model=300)
    own = [other_model, row_after([other_model], Decision("promotion", 2, 3, None))]
    view = View(KEY, 400, check_chain(own, ()), {"old/champion": check_chain(old, ())}, frozenset())
    assert [row.decision.to for row in view.rows] == [1, 2, 3]
    assert [row.decision.to for row in view.all_rows] == [9, 1, 2, 3]


def test_the_next_number_is_the_first_free_one() -> None:
    taken = frozenset(f"promotion/{KEY}/{number}" for number in (3, 4, 6))
    assert View(KEY, 400, check_chain(rows(2), ()), {}, taken).next_number == 5


@pytest.mark.slow
def test_a_renamed_model_keeps_its_history(local: Shop) -> None:
    ledger = versions(local, "before-renaming", 3)
    moved(ledger, 2)
    local.client.rename_registered_model("before-renaming", "after-renaming")
    renamed = local.ledger("after-renaming")
    assert [row.decision.to for row in renamed.rows()] == [1, 2]
    champion = seen(local, "after-renaming")["champion"]
    assert (champion.version, champion.gate, champion.moved_by_hand) == (2, "passed", False)
    assert offer(local, "after-renaming", 3).verdict == "passed"
    assert rollback(renamed, "").to == 2
    assert rollback(renamed, "").to == 1
    assert local.aliases("after-renaming")["champion"] == 1
    assert versions(local, "before-renaming", 1).rows()[-1].decision.kind == "first"
    assert [row.decision.to for row in renamed.rows()] == [1, 2, 3, 2, 1]


@pytest.mark.slow
def test_a_move_that_was_interrupted_before_a_model_was_renamed_is_completed(local: Shop) -> None:
    ledger = versions(local, "cut-and-renamed", 2)
    ledger._apply = lambda row: None  # type: ignore[method-assign]
    moved(ledger, 2)
    local.client.rename_registered_model("cut-and-renamed", "renamed-and-repaired")
    Ledger(local.client, "renamed-and-repaired").complete()
    assert local.aliases("renamed-and-repaired")["champion"] == 2
