from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thaw.data.decode_error import DecodeError
from thaw.data.pixel_range import UsedRange, used_range, value_text


def test_16_bits_are_divided_by_257_so_that_white_stays_white() -> None:
    values = np.array([0, 256, 257, 32768, 65278, 65279, 65535], np.uint16)
    assert used_range("type", 0, 65535).to_8_bits(values).tolist() == [0, 0, 1, 127, 254, 254, 255]


def test_the_smallest_value_of_an_image_becomes_0_and_the_largest_255() -> None:
    used = used_range("image", -1000, 3000)
    assert used.to_8_bits(np.array([-1000, 1000, 3000])).tolist() == [0, 128, 255]


def test_an_image_of_one_value_becomes_black_under_the_range_of_the_image() -> None:
    assert used_range("image", 7, 7).to_8_bits(np.array([7, 7])).tolist() == [0, 0]


def test_a_given_range_is_the_same_for_all_images() -> None:
    used = used_range((-1000, 3000), 0, 10)
    assert used.to_8_bits(np.array([0, 10])).tolist() == [64, 64]


@pytest.mark.parametrize(
    ("pixel_range", "low", "high", "reason"),
    [
        (
            "type",
            -1000,
            3000,
            "from -1000 to 3000 are outside of 0 to 65535, the range for samples of 16 and 32",
        ),
        ("type", 0, 65536, "values from 0 to 65536"),
        (
            (0, 4095),
            0,
            4096,
            "outside of the range 0 to 4095: correct the image, or widen prepare.range",
        ),
        ((0.0, 1.0), -0.25, 1.0, "values from -0.25 to 1"),
    ],
)
def test_values_outside_of_the_range_are_refused(
    pixel_range: Any, low: float, high: float, reason: str
) -> None:
    with pytest.raises(DecodeError) as raised:
        used_range(pixel_range, low, high)
    assert reason in raised.value.text_for_training


def test_models_of_earlier_versions_cut_values_off() -> None:
    values = np.array([-1000, 0, 65535, 100_000])
    assert used_range("clip", -1000, 100_000).to_8_bits(values).tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize(
    ("high", "is_sliver"), [(255, True), (4095, True), (16383, True), (16384, False)]
)
def test_less_than_a_quarter_of_the_range_is_a_sliver(high: float, is_sliver: bool) -> None:
    assert UsedRange(0, high, 0, 65535).is_sliver == is_sliver
    assert not UsedRange(0, high, 0, high).is_sliver


def test_whole_numbers_are_written_without_a_point() -> None:
    assert [value_text(v) for v in (4095.0, -0.25, 1e6, 3.4e38)] == [
        "4095",
        "-0.25",
        "1000000",
        "3.4e+38",
    ]
