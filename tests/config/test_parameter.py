from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from thaw.config.parameter import parameter, parameters, section_type
from thaw.config.section import Section


class Inner(Section):
    """A section in a section."""

    widths: list[int] = parameter([], "Widths.", unit="neurons", source="a paper")


class Outer(Section):
    """A section."""

    rate: Annotated[float, Field(gt=0.0)] = parameter(0.5, "A rate.", neutral=0.25)
    inner: Inner = Inner()


def test_parameters_are_listed_by_their_dotted_keys_in_order() -> None:
    rate, widths = parameters(Outer)
    assert (rate.key, widths.key) == ("rate", "inner.widths")
    assert (rate.default, rate.neutral, rate.description) == (0.5, 0.25, "A rate.")
    assert (rate.unit, rate.source) == ("", "")
    assert (widths.default, widths.unit, widths.source) == ([], "neurons", "a paper")


def test_the_neutral_value_is_the_default_unless_another_is_given() -> None:
    _, widths = parameters(Outer)
    assert widths.neutral == []


def test_a_section_is_told_from_a_value() -> None:
    assert section_type(Outer.model_fields["inner"]) is Inner
    assert section_type(Outer.model_fields["rate"]) is None


def test_the_range_of_the_annotation_holds() -> None:
    with pytest.raises(ValidationError):
        Outer(rate=0.0)


def test_a_default_list_is_not_shared() -> None:
    Inner().widths.append(3)
    assert Inner().widths == []
