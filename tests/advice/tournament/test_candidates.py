from __future__ import annotations

import pytest

from thaw.advice.tournament.candidates import Candidate, Input, block_sets, framings, sizes


@pytest.mark.parametrize(
    ("native", "side", "expected"),
    [
        (224, 1000, [224, 288, 352]),
        (224, 160, [160, 192, 224, 288, 320]),
        (224, 64, [64, 128]),
        (224, 8, [64]),
        (32, 100, [32, 64]),
    ],
)
def test_sizes_begin_at_those_of_small_images_and_end_at_twice_their_side(
    native: int, side: int, expected: list[int]
) -> None:
    assert sizes(native, side) == expected


def test_square_images_are_only_cropped() -> None:
    square = framings(224, 0.875, all_square=True)
    assert square == [Input("crop", 224, 0.875), Input("crop", 224, 1.0)]
    assert framings(224, 1.0, all_square=True) == [Input("crop", 224, 1.0)]
    wide = framings(224, 0.875, all_square=False)
    assert [each.framing for each in wide] == ["crop", "pad", "squish"]
    assert [each.crop_pct for each in wide] == [0.875, 1.0, 1.0]


def test_block_sets_begin_with_the_last_block_and_contain_all_blocks_together() -> None:
    found = block_sets(9)
    assert found[0] == (9,)
    assert tuple(range(1, 10)) in found
    assert {(8, 9), (7, 8, 9), (8,), (7,)} <= set(found)
    assert len(set(found)) == len(found)
    assert block_sets(1) == [(1,)]


def test_networks_of_many_blocks_have_few_sets() -> None:
    assert len(block_sets(48)) < 30
    assert all(1 <= number <= 48 for blocks in block_sets(48) for number in blocks)


@pytest.mark.parametrize(
    ("blocks", "name"), [((9,), "9"), ((7, 8, 9), "7 to 9"), ((3, 6, 9), "3, 6, 9")]
)
def test_a_range_of_blocks_is_named_by_its_ends(blocks: tuple[int, ...], name: str) -> None:
    assert Candidate(Input("pad", 64, 1.0), blocks, "logistic").blocks_name == name


def test_the_name_of_an_input_has_its_crop() -> None:
    assert Input("crop", 224, 0.875).name == "crop 0.875 224"
    assert Input("pad", 288, 1.0).name == "pad 288"
