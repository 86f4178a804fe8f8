from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from thaw.advice.tournament.candidates import Candidate, Input
from thaw.advice.tournament.leaderboard import Entry, leaderboard_csv, rows, shown_loss
from thaw.advice.tournament.out_of_fold import OutOfFold


def entry(loss: float, framing: str = "pad") -> Entry:
    """Return an entry whose losses are ``loss`` and a little more, by turns."""
    losses = loss + np.tile([0.0, 0.2], 50)
    found = OutOfFold(np.zeros((100, 2)), losses, strength=0.1)
    candidate = Candidate(Input(framing, 64, 1.0), (2, 3), "lda")  # type: ignore[arg-type]
    return Entry("blocks", candidate, found, np.tile([1.0, 1.0, 1.0, 0.0], 25), 1.0, 2.345)


def test_the_best_is_first_and_each_row_has_its_difference_to_the_chosen_one() -> None:
    worse, chosen = entry(0.5, "crop"), entry(0.4)
    first, second = rows([worse, chosen], chosen)
    assert (first.framing, first.chosen, first.difference) == ("pad", True, 0.0)
    assert (second.framing, second.chosen) == ("crop", False)
    assert second.difference == pytest.approx(0.1)
    assert second.log_loss == pytest.approx(0.6)
    assert second.log_loss_error == pytest.approx(0.01, abs=1e-4)
    assert (second.accuracy, second.blocks, second.fit) == (0.75, "2 to 3", "lda")


def test_the_file_has_a_line_for_each_row() -> None:
    chosen = entry(0.4)
    lines = list(csv.DictReader(io.StringIO(leaderboard_csv(rows([entry(0.5), chosen], chosen)))))
    assert [line["log_loss"] for line in lines] == ["0.5", "0.6"]
    assert lines[0]["chosen"] == "True"


def test_without_rows_the_file_names_the_columns() -> None:
    assert leaderboard_csv([]).startswith("step,framing,image_size,")
    assert len(leaderboard_csv([]).splitlines()) == 1


@pytest.mark.parametrize(
    ("loss", "images", "text"),
    [(0.0, 198, "< 0.005"), (0.004, 198, "< 0.005"), (0.0051, 198, "0.005"), (1.25, 30, "1.250")],
)
def test_no_loss_is_shown_that_so_many_images_cannot_show(
    loss: float, images: int, text: str
) -> None:
    assert shown_loss(loss, images) == text
