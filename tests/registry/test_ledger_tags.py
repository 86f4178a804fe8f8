from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from mlflow.entities import Experiment, ExperimentTag

from thaw.registry.ledger_rows import Decision, Row, chained, new_row
from thaw.registry.ledger_tags import (
    DIGEST,
    HIDDEN,
    LEDGER,
    MODEL,
    STATE,
    BadRowError,
    row_of,
    row_tags,
)

KEY = "m/champion"
PROMOTION = Decision(
    "promotion", 1, 2, 1, "better", "runs:/1/report", True, "a" * 64, "b" * 64, "comparison"
)
FIRST = Decision("first", None, 1, None)
REFUSAL = Decision("refusal", 1, 3, None, why="worse")
SIGNING = Decision("signing", None, 0, None, why="rows 1 to 3")


def tags_of(decision: Decision) -> dict[str, str]:
    return row_tags(chained(new_row(decision, ledger=KEY, nonce="abc", model=400), 12, "p", None))


def read(
    tags: dict[str, str], name: str = "promotion/m/champion/12", model_created: int = 400
) -> Row:
    """Return the row as read back from its experiment, which was created at 500 ms."""
    entries = [ExperimentTag(key, value) for key, value in tags.items()]
    experiment = Experiment("7", name, "", "active", entries, creation_time=500)
    return row_of(experiment, KEY, model_created)


@pytest.mark.parametrize("decision", [PROMOTION, FIRST, REFUSAL, SIGNING])
def test_a_decision_is_read_back_from_its_tags(decision: Decision) -> None:
    row = read(tags_of(decision))
    assert row.decision == decision
    assert (row.number, row.experiment_id, row.nonce, row.model) == (12, "7", "abc", 400)
    assert (row.parent, row.is_chained) == ("p", True)


def test_a_move_starts_open_and_a_refusal_moves_no_alias() -> None:
    promotion, refusal = read(tags_of(PROMOTION)), read(tags_of(REFUSAL))
    assert (promotion.state, promotion.moves_alias) == ("open", True)
    assert (refusal.state, refusal.moves_alias) == ("done", False)
    assert not read(tags_of(SIGNING)).moves_alias
    assert not dataclasses.replace(promotion, state="void").moves_alias


def test_an_older_row_without_its_model_does_not_belong_to_a_model_created_later() -> None:
    old = {name: text for name, text in tags_of(PROMOTION).items() if name not in {MODEL, DIGEST}}
    assert read(old, model_created=600).model == 0
    assert read(old, model_created=300).model == 300
    assert not read(old).is_chained


def test_a_long_reason_is_cut_to_the_length_of_a_tag() -> None:
    tags = tags_of(dataclasses.replace(PROMOTION, why="x" * 9000))
    assert len(tags["thaw.why"]) == len(tags["mlflow.note.content"]) == 5000
    assert tags[STATE] == "open"
    assert read(tags).decision.why == "x" * 5000


def test_the_state_is_the_only_tag_of_a_row_that_may_change() -> None:
    tags = tags_of(PROMOTION)
    assert read({**tags, STATE: "done", "mlflow.note.content": "?"}).state == "done"
    signed = {"thaw.signer", "thaw.signature"}  # they sign the digest, and are checked by the chain
    for name in {*tags} - {STATE, HIDDEN, "mlflow.note.content", "mlflow.experimentKind", *signed}:
        with pytest.raises(BadRowError):
            read({**tags, name: f"{tags[name]}9"})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({LEDGER: "other/champion"}, "its tags are those of a row of 'other/champion'"),
        ({STATE: "opened"}, "its tag thaw.state is 'opened'"),
        ({"thaw.kind": "coup"}, "its tag thaw.kind is 'coup', not one of first, promotion"),
        ({"thaw.to": "two"}, "its tag thaw.to is 'two', which is not a number"),
        ({"thaw.to": ""}, "its tag thaw.to is missing"),
        ({"thaw.to": "\u0663"}, "is not a number"),
        ({"thaw.origin": "-1"}, "is not a number"),
        ({"thaw.when": "yesterday"}, "is not a time"),
        ({"thaw.when": "2026-01-01"}, "without a time zone"),
        ({"thaw.forced": "maybe"}, "its tag thaw.forced is 'maybe', not one of true, false"),
        ({MODEL: "x"}, "is not a number"),
        ({"thaw.why": "another"}, "its content does not match its digest"),
    ],
)
def test_a_malformed_tag_is_named(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRowError, match=reason):
        read({**tags_of(PROMOTION), **changes})


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("renamed", "it was renamed"),
        ("promotion/m/champion/13", "its content does not match its digest"),
        ("promotion/m/champion/012", "not the number of a row"),
        ("promotion/m/champion/0", "not the number of a row"),
        ("promotion/m/champion/", "not the number of a row"),
        ("promotion/m/champion/9999999999999999999", "not the number of a row"),
    ],
)
def test_a_row_under_another_name_is_refused(name: str, reason: str) -> None:
    with pytest.raises(BadRowError, match=reason):
        read(tags_of(PROMOTION), name)


def test_a_bare_name_is_no_row() -> None:
    with pytest.raises(BadRowError, match="it has the name of a row, but not its tags"):
        read({})
