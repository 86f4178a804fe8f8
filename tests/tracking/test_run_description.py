from __future__ import annotations

import pytest

from thaw.tracking.run_description import COMPLETED, NOTE, beside_own_text, own_text, with_note
from thaw.tracking.run_owner import DESCRIPTION, stop_tags

STOP = stop_tags("unfreeze", "the disk is full")


def test_a_note_is_replaced_and_leaves_no_text() -> None:
    first = with_note({}, "first")
    assert first[DESCRIPTION] == "first"
    assert own_text(first) == ""
    assert with_note(first, "second")[DESCRIPTION] == "second"


@pytest.mark.parametrize(
    "text", ["mine\n\n{note}", "{note}\n\nmine", "{note} mine", "mine"], ids=str.split
)
def test_the_text_of_a_user_stays_wherever_it_stands(text: str) -> None:
    tags = with_note({}, "a note")
    tags[DESCRIPTION] = text.format(note=tags[DESCRIPTION])
    assert own_text(tags) == "mine"
    assert with_note(tags, "second")[DESCRIPTION] == "mine\n\nsecond"


def test_a_note_that_a_user_changed_is_the_text_of_the_user() -> None:
    tags = {**with_note({}, "a note"), DESCRIPTION: "a better note"}
    assert own_text(tags) == "a better note"


@pytest.mark.parametrize("mark", ["", "x", "x:y", "99:abc"])
def test_a_damaged_mark_costs_no_text(mark: str) -> None:
    assert own_text({DESCRIPTION: "mine", NOTE: mark}) == "mine"


def test_notes_of_earlier_versions_are_no_text_of_a_user() -> None:
    assert own_text(STOP) == ""
    assert own_text({DESCRIPTION: "**99 %** test accuracy", COMPLETED: "none"}) == ""
    assert own_text({**STOP, DESCRIPTION: "mine"}) == "mine"


@pytest.mark.parametrize("start", ["best so far: ", "winner: ", "no clear winner: "])
def test_notes_of_earlier_versions_on_a_study_are_no_text_of_a_user(start: str) -> None:
    assert own_text({DESCRIPTION: f"{start}trial 3 with log_loss 0.5000"}) == ""


def test_only_the_description_is_joined_with_the_text_of_a_user() -> None:
    found = {DESCRIPTION: "mine", "other": "theirs"}
    assert beside_own_text({"a": "b"}, found) == {"a": "b"}
    joined = beside_own_text({"a": "b", DESCRIPTION: "note"}, found)
    assert (joined["a"], joined[DESCRIPTION]) == ("b", "mine\n\nnote")
    assert own_text(joined) == "mine"


def test_both_together_fit_into_a_tag() -> None:
    described = with_note({DESCRIPTION: "x" * 4000}, "y" * 4000)
    assert len(described[DESCRIPTION]) == 5000
    assert own_text(described) == "x" * 4000
    assert with_note({DESCRIPTION: "x" * 5000}, "y")[DESCRIPTION] == "x" * 5000
