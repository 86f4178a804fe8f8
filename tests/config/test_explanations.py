from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from thaw.config.explanations import explain, nearest_keys, shortened
from thaw.config.params import Params


def lines(content: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Params.model_validate(content)
    return explain(caught.value, Params)


def test_a_long_value_is_shortened_in_the_middle() -> None:
    (line,) = lines({"seed": "0" * 100_000})
    assert len(line) < 150
    assert line.startswith("seed: input should be a valid integer, but it is '000")
    assert line.endswith("000'")


def test_a_long_key_is_shortened() -> None:
    (line,) = lines({"x" * 100_000: 1})
    assert len(line) < 150
    assert line.endswith("... is unknown")


def test_short_values_are_shown_whole() -> None:
    assert shortened([1, 2]) == "[1, 2]"


def test_a_value_of_two_types_is_one_line() -> None:
    (line,) = lines({"unfreeze": {"depth": "all"}})
    assert line == "unfreeze.depth: input should be a valid integer or 'auto', but it is 'all'"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"head": {"taps": [0]}}, "head.taps.0: input should be greater than or equal to 1, but"),
        (
            {"search": {"space": {"unfreeze.lr": {"low": 1, "high": 2}}}},
            "search.space.unfreeze.lr.log is missing",
        ),
        ({"promote": {"floors": {"f2": 0.5}}}, "promote.floors.f2: input should be 'accuracy', "),
    ],
)
def test_a_problem_within_a_value_is_one_line_with_its_place(content: Any, expected: str) -> None:
    (line,) = lines(content)
    assert line.startswith(expected)


def test_every_parameter_that_may_be_auto_is_explained_in_one_line_without_names_of_types() -> None:
    keys = [
        (section, name)
        for section, part in Params.model_fields.items()
        for name, field in getattr(part.annotation, "model_fields", {}).items()
        if "auto" in str(field.annotation)
    ]
    assert ("augment", "flip") in keys
    for section, name in keys:
        (line,) = lines({section: {name: {"no": "value"}}})
        assert line.startswith(f"{section}.{name}: input should be")


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("unfreeze.dept", ["unfreeze.depth"]),
        ("depth", ["unfreeze.depth"]),
        ("launch.epochs", ["warmup_head.epochs", "unfreeze.epochs", "fold_bn.epochs"]),
        ("launch.zzzzqqqq", []),
        ("zzzzqqqq.depth", ["unfreeze.depth"]),
    ],
)
def test_the_nearest_keys_are_those_of_the_section_then_those_of_others(
    key: str, near: list[str]
) -> None:
    assert nearest_keys(key, Params) == near
