"""Tests of the error of an image that cannot be used."""

from __future__ import annotations

import pickle

import pytest

from thaw.data.decode_error import DecodeError

LARGE = DecodeError("too large", remedy="shrink it", setting="raise prepare.max_megapixels")


@pytest.mark.parametrize(
    ("error", "text", "text_for_training"),
    [
        (LARGE, "too large: shrink it", "too large: shrink it, or raise prepare.max_megapixels"),
        (DecodeError("empty"), "empty", "empty"),
        (DecodeError("out of range", setting="widen it"), "out of range", "out of range: widen it"),
        (DecodeError("too large", remedy="shrink it"), *["too large: shrink it"] * 2),
    ],
)
def test_only_those_who_train_are_told_about_parameters(
    error: DecodeError, text: str, text_for_training: str
) -> None:
    assert str(error) == text
    assert error.text_for_training == text_for_training


def test_the_position_of_an_image_stands_before_the_reason() -> None:
    error = LARGE.of_image(3)
    assert error.text_for_training == f"image 3: {LARGE.text_for_training}"


def test_the_error_of_a_process_reaches_another_one_whole() -> None:
    error = pickle.loads(pickle.dumps(LARGE))
    assert (type(error), error.text_for_training) == (DecodeError, LARGE.text_for_training)
