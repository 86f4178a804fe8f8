from __future__ import annotations

import pytest

from thaw.promotion.gate_notes import rule_notes


@pytest.mark.parametrize(
    ("state", "notes"),
    [
        (None, ["this is no git checkout: it is not known whether the rules are committed"]),
        (("c" * 40, False), []),
        (
            ("c" * 40, True),
            [
                "params.yaml, dvc.yaml, thaw.lock or src differs from commit cccccccccccc: "
                "the rules may differ, too; commit the change"
            ],
        ),
    ],
)
def test_a_note_says_if_the_rules_may_not_be_committed(
    state: tuple[str, bool] | None, notes: list[str]
) -> None:
    assert rule_notes(state, "this is no git checkout") == notes
