from __future__ import annotations

from thaw.training.history import Row
from thaw.training.progress import Progress


def row(epoch: int, val_loss: float) -> Row:
    return Row(epoch=epoch, train_loss=None, val_loss=val_loss, val_accuracy=0.5, lr=0.0)


def test_the_best_loss_is_that_of_the_best_epoch_not_of_the_last() -> None:
    history = [row(0, 3.0), row(1, 1.0), row(2, 2.0)]
    assert Progress(epoch=2, best_epoch=1, history=history).best_loss == 1.0


def test_two_new_progresses_do_not_share_their_history() -> None:
    first = Progress()
    first.history.append(row(0, 1.0))
    assert Progress().history == []
