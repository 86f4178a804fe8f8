from __future__ import annotations

import pytest

from thaw.errors import ThawError
from thaw.model.freeze_plan import Plan, chosen_blocks, last_blocks


@pytest.mark.parametrize(
    ("depth", "trainable", "cut"), [(0, [], 3), (1, [2], 2), (2, [1, 2], 1), (3, [0, 1, 2], 0)]
)
def test_depth_counts_blocks_from_the_head(depth: int, trainable: list[int], cut: int) -> None:
    plan = last_blocks(depth, 3)
    assert sorted(plan.trainable) == trainable
    assert plan.cut == cut


def test_the_cut_of_a_surgical_plan_is_its_first_trainable_block() -> None:
    assert Plan(frozenset({1}), blocks=3).cut == 1


def test_a_depth_of_more_blocks_than_there_are_is_refused() -> None:
    with pytest.raises(ThawError, match=r"unfreeze\.depth: 4 is more than .* 3 blocks"):
        last_blocks(4, 3)


def test_chosen_blocks_count_from_the_input() -> None:
    plan = chosen_blocks([3, 1, 3], 3, "train")
    assert plan == Plan(frozenset({0, 2}), 3, "train")
    assert plan.cut == 0


@pytest.mark.parametrize("numbers", [[4], [2, 7, 9], [0]])
def test_a_block_that_is_not_there_is_refused(numbers: list[int]) -> None:
    wrong = {4: 4, 2: 7, 0: 0}[numbers[0]]
    message = rf"params.yaml: unfreeze\.blocks: there is no block {wrong}: .* are 1 to 3"
    with pytest.raises(ThawError, match=message):
        chosen_blocks(numbers, 3)


@pytest.mark.parametrize(
    ("count", "trainable"), [(0, set()), (1, {4}), (2, {2, 4}), (3, {0, 2, 4}), (9, {0, 2, 4})]
)
def test_the_topmost_blocks_of_a_plan_are_those_next_to_the_head(
    count: int, trainable: set[int]
) -> None:
    plan = Plan(frozenset({0, 2, 4}), 5, "affine")
    assert plan.topmost(count) == Plan(frozenset(trainable), 5, "affine")
