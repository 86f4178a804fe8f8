from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.errors import ThawError
from thaw.training import history
from thaw.training.history import EpochRow

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    EpochRow(epoch=0, train_loss=None, val_loss=1 / 3, val_accuracy=0.0, lr=0.0),
    EpochRow(epoch=1, train_loss=0.0, val_loss=1e-300, val_accuracy=1.0, lr=0.1 + 0.2),
    EpochRow(epoch=2, train_loss=2 / 3, val_loss=1e300, val_accuracy=2 / 7, lr=1e-9),
]


def test_a_history_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    history.write(ROWS, tmp_path / "history.csv")
    assert history.read(tmp_path / "history.csv") == ROWS


def test_a_row_is_a_line_of_the_console() -> None:
    first = EpochRow(epoch=0, train_loss=None, val_loss=1 / 3, val_accuracy=0.5, lr=0.0)
    assert first.line(4, "best") == "epoch 0/4  val loss 0.3333  val accuracy 0.5000  best"
    later = EpochRow(epoch=2, train_loss=1.25, val_loss=0.5, val_accuracy=1.0, lr=0.1)
    expected = "epoch 2/4  train loss 1.2500  val loss 0.5000  val accuracy 1.0000"
    assert later.line(4) == expected


def test_the_folder_is_made(tmp_path: Path) -> None:
    history.write(ROWS, tmp_path / "reports" / "unfreeze" / "history.csv")
    assert history.read(tmp_path / "reports" / "unfreeze" / "history.csv") == ROWS


def test_dvc_finds_a_column_for_each_quantity(tmp_path: Path) -> None:
    history.write(ROWS, tmp_path / "history.csv")
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,train_loss,val_loss,val_accuracy,lr"
    assert lines[1].startswith("0,,0.333")
    assert len(lines) == 4


def test_a_shorter_history_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    history.write(ROWS, tmp_path / "history.csv")
    history.write(ROWS[:1], tmp_path / "history.csv")
    assert history.read(tmp_path / "history.csv") == ROWS[:1]


def test_a_missing_history_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=r"history\.csv does not exist: run `dvc repro`"):
        history.read(tmp_path / "history.csv")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"epoch,train_loss,val_loss,val_accuracy,lr\n",
        b"epoch,val_loss\n0,1.0\n",
        b"epoch,train_loss,val_loss,val_accuracy,lr\n0,,1.0",
        b"epoch,train_loss,val_loss,val_accuracy,lr\n0,,one,0.5,0.0\n",
        b"\x00\xff" * 100,
    ],
)
def test_a_damaged_history_names_the_command(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(
        ThawError, match=r"history\.csv is damaged; run `thaw repair`, then `dvc rep"
    ):
        history.read(tmp_path / "history.csv")


def test_a_history_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "history.csv").mkdir()
    with pytest.raises(ThawError, match=r"history\.csv cannot be read: Is a directory; make it re"):
        history.read(tmp_path / "history.csv")
