from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.registry.forged import old_rows, row_after, rows
from thaw.registry.ledger_chain import Chain, check_chain, common_digest
from thaw.registry.ledger_rows import Decision, Row, chained
from thaw.registry.signing import create_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.registry.signing import Signer


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return create_key(tmp_path_factory.mktemp("keys") / "key")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return create_key(tmp_path_factory.mktemp("keys") / "key")


def numbers(found: Sequence[Row]) -> list[int]:
    return [row.number for row in found]


def reasons(chain: Chain) -> list[str]:
    return [str(problem) for problem in chain.problems]


def promotion(to: int) -> Decision:
    return Decision("promotion", None, to, None)


def test_rows_in_order_all_count_and_the_next_follows_the_last() -> None:
    made = rows(4)
    found = check_chain(made[::-1], ())
    assert numbers(found.rows) == [1, 2, 3, 4]
    assert (found.problems, found.head, found.last) == ([], made[-1].digest, 4)
    assert check_chain([], ()) == Chain([], [], [], "", 0)


def test_rows_before_the_chain_count_and_are_taken_over_by_its_first_row() -> None:
    old = old_rows(3)
    assert check_chain(old, ()).head == common_digest(old)
    made = rows(2, before=old)
    found = check_chain(made, ())
    assert numbers(found.rows) == [1, 2, 3, 4, 5]
    assert found.problems == []


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_rows_that_were_changed_after_they_were_taken_over_do_not_count(changed: int) -> None:
    made = rows(2, before=old_rows(3))
    made[changed] = replace(made[changed], decision=promotion(99))
    found = check_chain(made, ())
    assert numbers(found.rows) == [4, 5]
    assert reasons(found)[:3] == [
        f"row {number}: the rows before row 4 were changed after it was written (skipped)"
        for number in (1, 2, 3)
    ]


def test_a_row_in_the_old_form_does_not_count_once_there_is_a_chain() -> None:
    forged = replace(old_rows(3)[2], decision=promotion(99))
    found = check_chain([*rows(2), forged], ())
    assert numbers(found.rows) == [1, 2]
    assert reasons(found) == [
        "row 3: it is in the old form, but the chain begins before it (skipped)"
    ]


def test_an_open_row_in_the_old_form_never_counts() -> None:
    old = [*old_rows(1), replace(old_rows(2)[1], state="open")]
    found = check_chain(old, ())
    assert numbers(found.rows) == [1]
    assert reasons(found) == ["row 2: it is open and older than the chain (skipped)"]
    assert numbers(check_chain(rows(1, before=old), ()).rows) == [1, 3]


def test_a_row_that_does_not_follow_the_last_one_is_skipped() -> None:
    made = rows(3)
    fork = chained(replace(made[2], nonce="other"), 4, made[1].digest, None)
    found = check_chain([*made, fork], ())
    assert numbers(found.rows) == [1, 2, 3]
    assert reasons(found) == ["row 4: it does not follow row 3 (skipped)"]
    assert found.head == made[-1].digest


def test_a_removed_row_is_reported_and_the_later_ones_still_count() -> None:
    made = rows(4)
    found = check_chain([made[0], *made[2:]], ())
    assert numbers(found.rows) == [1, 3, 4]
    assert reasons(found) == ["row 3: the row before it was changed or removed"]


@pytest.mark.parametrize("parent", ["", "f" * 64])
def test_an_open_row_with_another_parent_is_skipped(parent: str) -> None:
    made = rows(2)
    forged = chained(replace(made[1], state="open", nonce="forged"), 3, parent, None)
    assert numbers(check_chain([*made, forged], ()).rows) == [1, 2]
    alone = chained(replace(made[0], state="open"), 1, "f" * 64, None)
    assert check_chain([alone], ()).rows == []


def test_a_row_with_a_number_far_away_is_skipped() -> None:
    made = rows(2)
    far = chained(made[1], 999_999_999, made[1].digest, None)
    assert numbers(check_chain([*made, far], ()).rows) == [1, 2]


def test_with_trusted_keys_only_their_rows_count(signer: Signer, stranger: Signer) -> None:
    made = rows(2, signer)
    by_stranger = row_after(made, promotion(8), stranger)
    unsigned = row_after([*made, by_stranger], promotion(9))
    found = check_chain([*made, by_stranger, unsigned], [signer.public])
    assert numbers(found.rows) == [1, 2]
    assert numbers(found.unsigned) == [3, 4]
    assert numbers(check_chain([by_stranger], [signer.public]).rows) == []


def test_a_signature_of_another_row_does_not_count(signer: Signer) -> None:
    made = rows(2, signer)
    copied = row_after(made, promotion(9))
    copied = replace(copied, signer=signer.public, signature=made[1].signature)
    assert numbers(check_chain([*made, copied], [signer.public]).rows) == [1, 2]


def test_signed_rows_count_even_if_others_were_removed(signer: Signer) -> None:
    made = rows(4, signer)
    found = check_chain([made[1], made[3]], [signer.public])
    assert numbers(found.rows) == [2, 4]
    assert len(found.problems) == 2


def test_a_signed_row_takes_over_the_rows_that_it_follows(signer: Signer) -> None:
    for before in (rows(3), old_rows(3), rows(2, before=old_rows(1))):
        assert check_chain(before, [signer.public]).rows == []
        adopted = [*before, row_after(before, Decision("signing", None, 0, None), signer)]
        adopted = rows(1, signer, adopted)
        assert numbers(check_chain(adopted, [signer.public]).rows) == [1, 2, 3, 4, 5]


def test_no_other_signed_row_takes_over_rows(signer: Signer) -> None:
    made = rows(1, signer, rows(2))
    assert numbers(check_chain(made, [signer.public]).rows) == [3]


@pytest.mark.parametrize("replaced", [0, 1, 2])
def test_a_forged_row_in_the_place_of_one_that_was_taken_over_does_not_count(
    replaced: int, signer: Signer
) -> None:
    before = rows(3)
    made = [*before, row_after(before, Decision("signing", None, 0, None), signer)]
    forged = row_after(before[:replaced], promotion(99))
    made[replaced] = forged
    found = check_chain(made, [signer.public])
    assert 99 not in [row.decision.to for row in found.rows]
    assert numbers(found.rows) == [*range(replaced + 2, 5)]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["drop", "edit", "copy", "append", "void", "open"]), st.integers(0, 9)
    ),
    max_size=6,
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(count=st.integers(0, 8), early=st.integers(0, 3), changes=CHANGES, is_keyed=st.booleans())
def test_no_sequence_of_changes_invents_a_decision_or_opens_one(
    signer: Signer,
    stranger: Signer,
    count: int,
    early: int,
    changes: list[tuple[str, int]],
    *,
    is_keyed: bool,
) -> None:
    """Someone who can write to the store, but not sign, changes rows in any way and order."""
    before = old_rows(early)
    if is_keyed and before:
        before.append(row_after(before, Decision("signing", None, 0, None), signer))
    honest = rows(count, signer if is_keyed else None, before)
    trusted = [signer.public] if is_keyed else []
    expected = {row.number: row.decision for row in check_chain(honest, trusted).rows}
    assert numbers(check_chain(honest, trusted).rows) == numbers(honest)
    stored = list(honest)
    for what, place in changes:
        index = place % max(len(stored), 1)
        if what == "append":
            stored.append(row_after(stored, promotion(77), stranger if is_keyed else None))
        elif stored:
            stored = _changed(stored, what, index)
    found = check_chain(stored, trusted)
    if is_keyed:
        for row in found.rows:
            assert row.decision == expected[row.number]
    for row in found.rows:  # whatever is open and counts has its place in the chain
        assert row.state != "open" or row.is_chained
    assert numbers(found.rows) == sorted(set(numbers(found.rows)))


def _changed(stored: list[Row], what: str, index: int) -> list[Row]:
    row, others = stored[index], [*stored[:index], *stored[index + 1 :]]
    if what == "drop":
        return others
    if what == "edit":
        edited = replace(row, decision=promotion(78))
        return [*others, chained(edited, row.number, row.parent, None)]
    if what == "copy":
        number = max(one.number for one in stored) + 1
        return [*stored, chained(row, number, row.parent, None)]
    return [*others, replace(row, state="void" if what == "void" else "open")]
