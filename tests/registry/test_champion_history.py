from __future__ import annotations

import pytest

from thaw.registry.champion_history import (
    approved_versions,
    champion_stack,
    expected_version,
    first_champion,
    last_known_version,
    last_move,
    rollback_version,
)
from thaw.registry.ledger_rows import Decision, Kind, Row, State


def rows(*moves: tuple[Kind, int | None, int], state: State = "done") -> list[Row]:
    """Return a history of (kind, from, to)."""
    return [
        Row(number, Decision(kind, origin, to, None), "", "", state, "", "", 1)
        for number, (kind, origin, to) in enumerate(moves, start=1)
    ]


HISTORY = rows(("first", None, 1), ("promotion", 1, 2), ("refusal", 2, 3), ("promotion", 2, 4))


def test_a_refusal_and_a_void_row_move_nothing() -> None:
    moved = last_move(HISTORY)
    assert moved is not None
    assert moved.decision.to == 4
    assert last_move(rows(("refusal", 1, 2))) is None
    assert last_move(rows(("promotion", 1, 2), state="void")) is None


def test_the_expected_version_is_that_of_the_last_move() -> None:
    assert expected_version(HISTORY, None) == 4
    assert expected_version([], 1) == 1
    assert expected_version([], None) is None


def test_promoted_versions_and_the_first_one_are_approved() -> None:
    assert approved_versions(HISTORY, None) == {1, 2, 4}
    assert approved_versions(rows(("rollback", 2, 7)), 1) == {1}


def test_the_first_champion_is_the_one_without_a_gate() -> None:
    assert first_champion(HISTORY, None) == 1
    assert first_champion([], 5) == 5


def test_a_refusal_shows_which_version_had_the_alias() -> None:
    assert last_known_version(rows(("refusal", 3, 4)), None) == 3
    assert last_known_version([], None) is None


@pytest.mark.parametrize(
    ("history", "stack"),
    [
        (HISTORY, [1, 2, 4]),
        ([*HISTORY, *rows(("rollback", 4, 2))], [1, 2]),
        ([*HISTORY, *rows(("promotion", 9, 2))], [1, 2, 4, 2]),  # 9 got the alias by hand
        ([*HISTORY, *rows(("rollback", 9, 4))], [1, 2, 4]),
    ],
)
def test_the_stack_holds_approved_versions_in_order(history: list[Row], stack: list[int]) -> None:
    assert champion_stack(history) == stack


def test_a_rollback_returns_to_the_approved_version_before() -> None:
    assert rollback_version(HISTORY, None, 4, 5) == 4
    assert rollback_version(HISTORY, None, 9, 5) == 4  # 9 got the alias by hand
    assert rollback_version([], None, None, 1) is None
