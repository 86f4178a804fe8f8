from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from tests.registry.forged import KEY, rows
from thaw.errors import ThawError
from thaw.registry.ledger_rows import Decision, Row, chained, check_reason, decider, new_row

PROMOTION = Decision("promotion", 1, 2, 1, "better", "runs:/1/report", True, "a", "b", "comparison")


def made(decision: Decision = PROMOTION) -> Row:
    return chained(new_row(decision, ledger=KEY, nonce="abc", model=400), 12, "p", None)


def test_a_row_keeps_its_decision_and_has_its_own_digest() -> None:
    row = made()
    assert row.decision == PROMOTION
    assert row.digest == row.content_digest() == replace(row, state="done").content_digest()
    assert "@" in row.who


@pytest.mark.parametrize("name", [field.name for field in fields(Decision)])
def test_every_part_of_a_decision_changes_the_digest(name: str) -> None:
    other: dict[str, Any] = {
        "kind": "rollback",
        "forced": False,
        "origin": 9,
        "to": 9,
        "previous": 9,
    }
    changed = replace(made(), decision=replace(PROMOTION, **{name: other.get(name, "other")}))
    assert changed.content_digest() != made().content_digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 13},
        {"when": "x"},
        {"who": "x"},
        {"nonce": "x"},
        {"model": 9},
        {"ledger": "x"},
        {"parent": "x"},
    ],
)
def test_the_place_of_a_row_is_part_of_its_digest(changes: dict[str, object]) -> None:
    row = made()
    assert replace(row, **changes).content_digest() != row.digest  # type: ignore[arg-type]


def test_only_a_promotion_a_rollback_or_a_first_champion_moves_the_alias() -> None:
    kinds: tuple[Any, ...] = ("first", "promotion", "rollback", "refusal", "signing")
    moving = [kind for kind in kinds if made(replace(PROMOTION, kind=kind)).moves_alias]
    assert moving == ["first", "promotion", "rollback"]
    assert {kind: made(replace(PROMOTION, kind=kind)).state for kind in kinds} == {
        **dict.fromkeys(moving, "open"), "refusal": "done", "signing": "done",
    }  # fmt: skip
    assert not replace(made(), state="void").moves_alias


def test_each_row_holds_the_digest_of_the_row_before() -> None:
    chain = rows(3)
    assert [row.parent for row in chain] == ["", chain[0].digest, chain[1].digest]


@pytest.mark.parametrize("reason", ["", "  ", "\u200b", "\n\t", "\u2060\ufeff\u0301", "\0\x1b"])
def test_a_reason_that_cannot_be_seen_is_none(reason: str) -> None:
    check_reason(reason)
    with pytest.raises(ThawError, match="--force needs a reason"):
        check_reason(reason, is_needed=True)


@pytest.mark.parametrize("reason", ["x" * 1001, "caf\udce9"])
def test_a_reason_that_a_row_cannot_hold_is_refused(reason: str) -> None:
    with pytest.raises(ThawError, match=r"^--reason has (1,001 characters|bytes that are not)"):
        check_reason(reason)


def test_the_longest_reason_leaves_room_for_the_result_of_the_gate() -> None:
    reason = "é" * 1000
    check_reason(reason, is_needed=True)
    why = f"{reason} (refused: accuracy)"
    assert made(replace(PROMOTION, why=why)).decision.why == why


def test_a_row_names_the_account_of_the_server_where_it_is_not_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("thaw.registry.ledger_rows.user", lambda: "ada")
    monkeypatch.setattr("socket.gethostname", lambda: "desk")
    assert decider("") == decider("ada") == "ada@desk"
    assert decider("team\x1b[2J") == "ada@desk (account team [2J)"
    row = new_row(PROMOTION, ledger="m/champion", nonce="n", model=1, account="team")
    assert row.who == "ada@desk (account team)"
