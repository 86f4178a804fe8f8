from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import torch

from thaw.training.checkpoints import KEPT, Checkpoints
from thaw.training.shard_checkpoints import ShardCheckpoints

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


@dataclass
class Rank:
    """A process of two; ``sum`` adds what the other one would give."""

    rank: int
    others: Any = None
    world: int = 2
    asked: list[Tensor] = field(default_factory=list)

    def sum(self, value: Tensor) -> Tensor:
        self.asked.append(value.clone())
        return value if self.others is None else value + self.others


def pair(folder: Path) -> tuple[tuple[Rank, ShardCheckpoints], tuple[Rank, ShardCheckpoints]]:
    whole = Checkpoints(folder, "key")
    first, second = Rank(0), Rank(1)
    return (
        (first, ShardCheckpoints(whole, first)),  # type: ignore[arg-type]
        (second, ShardCheckpoints(whole, second)),  # type: ignore[arg-type]
    )


def meet(*ranks: tuple[Rank, ShardCheckpoints]) -> list[Any]:
    """Return what ``latest`` gives in each process: ask both, then let each see the other."""
    for rank, checkpoints in ranks:
        rank.others = None
        checkpoints.latest()
    tables = [rank.asked[-1] for rank, _ in ranks]
    found = []
    for (rank, checkpoints), other in zip(ranks, reversed(tables), strict=True):
        rank.others = other
        found.append(checkpoints.latest())
    return found


def save(checkpoints: ShardCheckpoints, epoch: int, step: int, value: float) -> None:
    checkpoints.save((epoch, step), {"now.a": torch.tensor([value])}, {"epoch": epoch})


def test_each_process_reads_its_own_part_of_the_newest_checkpoint(tmp_path: Path) -> None:
    ranks = pair(tmp_path)
    for number, (_, checkpoints) in enumerate(ranks):
        save(checkpoints, 0, 5, 1.0)
        save(checkpoints, 1, 0, 10.0 + number)
    for number, found in enumerate(meet(*ranks)):
        tensors, state = found
        assert tensors["now.a"].item() == 10.0 + number
        assert state == {"epoch": 1}


def test_a_checkpoint_that_one_process_has_not_written_does_not_count(tmp_path: Path) -> None:
    ranks = pair(tmp_path)
    for _, checkpoints in ranks:
        save(checkpoints, 0, 5, 1.0)
    save(ranks[0][1], 0, 6, 2.0)
    assert [found[0]["now.a"].item() for found in meet(*ranks)] == [1.0, 1.0]


def test_a_damaged_part_counts_as_missing_in_all_processes(tmp_path: Path) -> None:
    ranks = pair(tmp_path)
    for _, checkpoints in ranks:
        save(checkpoints, 0, 5, 1.0)
        save(checkpoints, 0, 6, 2.0)
    newest = max((tmp_path / "key/1-of-2").iterdir())
    newest.write_bytes(b"damaged")
    assert [found[0]["now.a"].item() for found in meet(*ranks)] == [1.0, 1.0]


def test_without_a_common_checkpoint_there_is_none(tmp_path: Path) -> None:
    ranks = pair(tmp_path)
    assert meet(*ranks) == [None, None]
    save(ranks[0][1], 0, 5, 1.0)
    save(ranks[1][1], 0, 6, 1.0)
    assert meet(*ranks) == [None, None]


@pytest.mark.parametrize("places", [[(0, 0)], [(0, 1), (7, 0), (7, 123_456_789)]])
def test_all_numbers_of_epochs_and_steps_are_agreed_on(
    tmp_path: Path, places: list[tuple[int, int]]
) -> None:
    ranks = pair(tmp_path)
    for _, checkpoints in ranks:
        for epoch, step in places:
            checkpoints.save((epoch, step), {}, {"place": [epoch, step]})
    expected = [*places[-1]]
    assert [found[1]["place"] for found in meet(*ranks)] == [expected, expected]
    assert len(list((tmp_path / "key/0-of-2").iterdir())) == min(len(places), KEPT)


def test_the_parts_go_with_the_checkpoints_of_the_training(tmp_path: Path) -> None:
    whole = Checkpoints(tmp_path, "key")
    rank: Any = Rank(0)
    save(ShardCheckpoints(whole, rank), 1, 0, 1.0)
    assert whole.latest() is None  # those of an unsharded training
    whole.clear()
    assert not (tmp_path / "key").exists()
