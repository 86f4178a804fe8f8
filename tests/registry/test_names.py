from __future__ import annotations

import pytest

from thaw.registry import names


@pytest.mark.parametrize(
    ("tag", "alias", "expected"),
    [
        ("gate", "champion", "gate"),
        ("gate.when", "champion", "gate.when"),
        ("gate", "staging", "gate/staging"),
        ("gate.report", "staging", "gate/staging.report"),
        ("gate", "gate", "gate/gate"),
    ],
)
def test_the_gate_of_each_alias_has_tags_of_its_own(tag: str, alias: str, expected: str) -> None:
    assert names.gate_tag(tag, alias) == expected
