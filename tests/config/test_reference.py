from __future__ import annotations

import pytest

from thaw.config.params import Params
from thaw.config.reference import as_text, describe, details, overview
from thaw.errors import ThawError

PARAMS = Params(seed=3)


def test_a_parameter_is_described_with_all_that_is_known() -> None:
    (found,) = describe(PARAMS, "backbone.image_size")
    assert (found.value, found.default, found.unit) == (224, 224, "pixels")
    assert found.range == "integer from 8 to 4096 or auto"
    assert details(found).splitlines()[:4] == [
        "backbone.image_size: 224",
        "  default: 224",
        "  range: integer from 8 to 4096 or auto",
        "  unit: pixels",
    ]


def test_a_section_is_described_parameter_by_parameter() -> None:
    assert [found.key for found in describe(PARAMS, "evaluate")] == [
        "evaluate.calibration_bins",
        "evaluate.tta_views",
        "evaluate.report",
    ]
    assert len(describe(PARAMS, "promote.provenance")) == 3


def test_the_overview_shows_defaults_only_where_the_value_differs() -> None:
    lines = overview(describe(PARAMS)).splitlines()
    assert lines[0].split(maxsplit=1) == ["seed", "3  (default: 0)"]
    assert sum("(default:" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("unfreeze.dept", "did you mean unfreeze.depth?"),
        ("dropout", "did you mean head.dropout?"),
        ("zzzzqqqq", "`thaw params` lists them"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(key: str, hint: str) -> None:
    with pytest.raises(ThawError) as caught:
        describe(PARAMS, key)
    assert str(caught.value) == f"there is no parameter {key}; {hint}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        ([], "[]"),
        ("", '""'),
        ({"low": 0, "log": False}, "{low: 0, log: false}"),
        ([[], [8]], "[[], [8]]"),
    ],
)
def test_values_are_shown_as_yaml_has_them(value: object, text: str) -> None:
    assert as_text(value) == text
