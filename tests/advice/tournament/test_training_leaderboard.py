from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest

from thaw.advice.tournament.fold_training import FoldResult
from thaw.advice.tournament.training_candidates import head_alone, trainings
from thaw.advice.tournament.training_leaderboard import training_row, write_leaderboard
from thaw.config.params import Params

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SETTINGS = Params().unfreeze
RANDOM = np.random.default_rng(0)
HEAD, FIRST, SECOND = RANDOM.normal(1.0, 0.3, (3, 60))


def result(losses: NDArray[np.float64], way: int | None = None) -> FoldResult:
    """Return a result of the head alone, or of a way to train, three of four images right."""
    candidate = head_alone(SETTINGS, 7) if way is None else trainings(SETTINGS, 7)[way]
    return FoldResult(
        candidate,
        0 if way is None else 3,
        losses,
        (np.arange(60) % 4 > 0).astype(np.float64),
        12.345,
    )


def test_a_row_has_means_with_errors_and_differences_to_the_head_and_to_the_chosen_one() -> None:
    base, winner = result(HEAD), result(FIRST, 0)
    row = training_row(result(SECOND, 1), base, winner)
    assert (row.candidate, row.epochs) == ("all blocks, lr 0.001, BatchNorm train", 3)
    assert (row.seconds, row.chosen) == (12.35, False)
    values = SECOND, np.arange(60) % 4 > 0, SECOND - HEAD, SECOND - FIRST
    expected = [(np.mean(each), np.std(each, ddof=1) / np.sqrt(60)) for each in values]
    assert [
        (row.log_loss, row.log_loss_error),
        (row.accuracy, row.accuracy_error),
        (row.difference, row.difference_error),
        (row.to_chosen, row.to_chosen_error),
    ] == [pytest.approx(each, abs=1e-5) for each in expected]
    assert training_row(winner, base, winner).chosen
    assert training_row(winner, base, winner).to_chosen == 0.0


def test_the_file_has_a_line_for_each_row_and_without_rows_the_names_of_columns(
    tmp_path: Path,
) -> None:
    base = result(HEAD)
    rows = [training_row(each, base, base) for each in (base, result(FIRST, 0))]
    for given in (rows, []):
        write_leaderboard(given, tmp_path)
        with (tmp_path / "leaderboard.csv").open(newline="") as stream:
            reader = csv.DictReader(stream)
            assert [line["candidate"] for line in reader] == [row.candidate for row in given]
        assert {"log_loss_error", "to_chosen_error", "chosen"} <= set(reader.fieldnames or [])
