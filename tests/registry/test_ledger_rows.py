from __future__ import annotations

import dataclasses

import pytest
from mlflow.entities import Experiment, ExperimentTag

from thaw.registry.ledger_rows import MODEL, STATE, Decision, Row, row_of, row_tags

PROMOTION = Decision("promotion", 1, 2, 1, why="better", report="runs:/1/report", forced=True)
FIRST = Decision("first", None, 1, None)
REFUSAL = Decision("refusal", 1, 3, None, why="worse")


def stored(decision: Decision, *, without_model: bool = False) -> Row:
    """Return the row as read back from its experiment, created at 500 ms, of a model at 400 ms."""
    tags = row_tags(decision, ledger="m@champion", alias="champion", nonce="abc", model=400)
    if without_model:
        del tags[MODEL]
    entries = [ExperimentTag(key, value) for key, value in tags.items()]
    experiment = Experiment("7", "ledger/12", "", "active", entries, creation_time=500)
    return row_of(experiment, model_created=600 if without_model else 400)


@pytest.mark.parametrize("decision", [PROMOTION, FIRST, REFUSAL])
def test_a_decision_is_read_back_from_its_tags(decision: Decision) -> None:
    row = stored(decision)
    assert row.decision == decision
    assert (row.number, row.experiment_id, row.nonce, row.model) == (12, "7", "abc", 400)


def test_a_move_starts_open_and_a_refusal_moves_no_alias() -> None:
    assert (stored(PROMOTION).state, stored(PROMOTION).moves_alias) == ("open", True)
    assert (stored(REFUSAL).state, stored(REFUSAL).moves_alias) == ("done", False)
    assert not dataclasses.replace(stored(PROMOTION), state="void").moves_alias


def test_an_older_row_without_its_model_does_not_belong_to_a_model_created_later() -> None:
    assert stored(PROMOTION, without_model=True).model == 0


def test_a_long_reason_is_cut_to_the_length_of_a_tag() -> None:
    tags = row_tags(
        dataclasses.replace(PROMOTION, why="x" * 9000), ledger="m", alias="a", nonce="n", model=0
    )
    assert len(tags["thaw.why"]) == len(tags["mlflow.note.content"]) == 5000
    assert tags[STATE] == "open"
