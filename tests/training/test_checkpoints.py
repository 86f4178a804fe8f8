from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
import torch

from tests.damage import KINDS, rotten
from thaw.errors import ThawError
from thaw.training.checkpoints import Checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor


def tensors(number: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(number)
    return {
        "now.weight": torch.randn(3, 4, generator=generator),
        "now.count": torch.tensor(number),
        "best.map": torch.randn(2, 3, 4, 4, generator=generator).to(
            memory_format=torch.channels_last
        ),
    }


def save(checkpoints: Checkpoints, epoch: int, step: int = 0) -> Path:
    """Save a checkpoint that can be told from others by its epoch; its file."""
    before = set(checkpoints.folder.iterdir())
    checkpoints.save((epoch, step), tensors(epoch), {"epoch": epoch, "loss": epoch / 3})
    (made,) = set(checkpoints.folder.iterdir()) - before
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_damaged_checkpoint_the_one_before_is_used(tmp_path: Path, kind: str) -> None:
    warnings: list[str] = []
    checkpoints = Checkpoints(tmp_path, "key", warnings.append)
    save(checkpoints, 1)
    path = save(checkpoints, 2)
    with rotten(path, kind):
        assert epoch_of(checkpoints) == 1
    assert [text for text in warnings if f"{path} is damaged" in text] == warnings
    assert len(warnings) == 1


def epoch_of(checkpoints: Checkpoints) -> int | None:
    """Return the epoch of the latest checkpoint, after checking that its content is as saved."""
    found = checkpoints.latest()
    if found is None:
        return None
    read, state = found
    epoch: int = state["epoch"]
    assert state == {"epoch": epoch, "loss": epoch / 3}
    assert all(torch.equal(read[key], value) for key, value in tensors(epoch).items())
    return epoch


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def flip_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [flip, flip_header, truncate, empty]


def test_nothing_is_found_where_nothing_was_saved(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path, "key").latest() is None


@pytest.mark.parametrize(
    "places", [[(0, 5), (1, 0)], [(9, 0), (10, 0)], [(1, 9), (1, 10)], [(2, 0), (2, 1)]]
)
def test_the_newest_one_is_found_by_a_new_process(
    tmp_path: Path, places: list[tuple[int, int]]
) -> None:
    checkpoints = Checkpoints(tmp_path, "key")
    for number, place in enumerate(places):
        checkpoints.save(place, tensors(number), {"epoch": number, "loss": number / 3})
    assert epoch_of(Checkpoints(tmp_path, "key")) == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_one_is_named_and_the_one_before_it_is_used(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    warnings: list[str] = []
    checkpoints = Checkpoints(tmp_path, "key", warnings.append)
    save(checkpoints, 1)
    newest = save(checkpoints, 2)
    damage(newest)
    assert epoch_of(checkpoints) == 1
    (warning,) = warnings
    assert warning.startswith(f"{newest} is damaged")


def test_damaged_checkpoints_are_each_named_and_never_used(tmp_path: Path) -> None:
    warnings: list[str] = []
    checkpoints = Checkpoints(tmp_path, "key", warnings.append)
    for damaged in (save(checkpoints, 1), save(checkpoints, 2)):
        truncate(damaged)
    assert checkpoints.latest() is None
    assert len(warnings) == 2


def test_a_checkpoint_saved_after_falling_back_is_found(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "key")
    save(checkpoints, 1)
    flip(save(checkpoints, 3))
    assert epoch_of(checkpoints) == 1
    save(checkpoints, 2)
    assert epoch_of(checkpoints) == 2


def test_a_checkpoint_saved_after_two_damaged_ones_is_found(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "key")
    for damaged in (save(checkpoints, 2), save(checkpoints, 3)):
        flip(damaged)
    assert checkpoints.latest() is None
    checkpoints.save((1, 0), tensors(1), {"epoch": 1, "loss": 1 / 3})
    assert epoch_of(checkpoints) == 1


def test_two_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "key")
    made = [save(checkpoints, epoch) for epoch in range(5)]
    assert sorted(checkpoints.folder.iterdir()) == sorted(made[-2:])


def test_a_full_disk_leaves_the_older_one_and_names_path_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, "key")
    kept = save(checkpoints, 1)
    size = kept.stat().st_size

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ThawError, match=rf"could not write {size} bytes: No space left") as error:
        checkpoints.save((2, 0), tensors(2), {"epoch": 2, "loss": 2 / 3})
    assert str(checkpoints.folder / "000002-000000000-") in str(error.value)
    monkeypatch.undo()
    assert list(checkpoints.folder.iterdir()) == [kept]  # no part of the other takes room
    assert epoch_of(checkpoints) == 1


def test_a_file_that_was_never_finished_is_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "key")
    save(checkpoints, 1)
    whole = save(checkpoints, 2)
    whole.rename(whole.with_name(f".{whole.name}.123.part"))  # as a kill in the write leaves it
    assert epoch_of(Checkpoints(tmp_path, "key")) == 1


def test_checkpoints_of_other_parameters_are_removed_and_never_continued(tmp_path: Path) -> None:
    save(Checkpoints(tmp_path, "old"), 7)
    checkpoints = Checkpoints(tmp_path, "new")
    assert checkpoints.latest() is None
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_process_without_the_lock_of_the_stage_removes_no_checkpoints(tmp_path: Path) -> None:
    trained = Checkpoints(tmp_path, "old")
    save(trained, 7)
    assert Checkpoints(tmp_path, "new", removes_others=False).latest() is None
    assert epoch_of(trained) == 7


def test_a_second_start_with_the_same_parameters_removes_nothing(tmp_path: Path) -> None:
    made = save(Checkpoints(tmp_path, "key"), 1)
    Checkpoints(tmp_path, "key")
    assert made.exists()


def test_clear_removes_all_of_them(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "key")
    save(checkpoints, 1)
    checkpoints.clear()
    assert Checkpoints(tmp_path, "key").latest() is None


def test_a_checkpoint_is_a_safetensors_file_that_anybody_can_open(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    made = save(Checkpoints(tmp_path, "key"), 4)
    assert set(load_file(made)) == set(tensors(4))
