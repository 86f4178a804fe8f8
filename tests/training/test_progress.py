from __future__ import annotations

import pytest

from thaw.training.history import EpochRow
from thaw.training.progress import Progress


def row(epoch: int, val_loss: float) -> EpochRow:
    return EpochRow(epoch=epoch, train_loss=None, val_loss=val_loss, val_accuracy=0.5, lr=0.0)


def test_the_best_loss_is_that_of_the_best_epoch_not_of_the_last() -> None:
    history = [row(0, 3.0), row(1, 1.0), row(2, 2.0)]
    assert Progress(epoch=2, best_epoch=1, history=history).best_loss == 1.0


def test_an_epoch_that_ends_leaves_nothing_of_its_steps() -> None:
    progress = Progress(epoch=1, step=7, loss_sum=2.5, history=[row(0, 3.0), row(1, 1.0)])
    progress.close_epoch(row(2, 0.5))
    assert (progress.epoch, progress.step, progress.loss_sum) == (2, 0, 0.0)
    assert progress.history[-1].val_loss == 0.5


def test_two_new_progresses_do_not_share_their_history() -> None:
    first = Progress()
    first.history.append(row(0, 1.0))
    assert Progress().history == []


@pytest.mark.parametrize(
    ("losses", "best", "keeps_start", "mark"),
    [
        ([0.31], 0, True, "best"),
        ([0.31, 0.35], 0, True, ""),
        ([0.31, 0.25], 1, True, "best"),
        ([0.31], 0, False, "the start, which is not among the epochs to choose from"),
        ([0.31, 0.35], 1, False, "best of epochs 1 to 1; the start has 0.3100"),
        ([0.31, 0.35, 0.40], 1, False, ""),
        ([0.31, 0.35, 0.33], 2, False, "best of epochs 1 to 2; the start has 0.3100"),
        ([0.31, 0.35, 0.31], 2, False, "best of epochs 1 to 2; the start has 0.3100"),
        ([0.31, 0.35, 0.20], 2, False, "best"),
    ],
)
def test_an_epoch_that_is_worse_than_the_start_is_not_just_the_best(
    losses: list[float], best: int, keeps_start: bool, mark: str
) -> None:
    history = [row(epoch, value) for epoch, value in enumerate(losses)]
    progress = Progress(epoch=len(losses) - 1, best_epoch=best, history=history)
    assert progress.mark(keeps_start=keeps_start, keeps_last=False) == mark
    assert progress.mark(keeps_start=keeps_start, keeps_last=True) == ""
