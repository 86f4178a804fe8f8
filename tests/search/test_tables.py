from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console

from tests.search import project
from thaw.search import tables
from thaw.search.confirmation import Candidate

if TYPE_CHECKING:
    from thaw.config.params import Params


def candidate(loss: float, values: list[float]) -> Candidate:
    return Candidate(create_trial(state=TrialState.COMPLETE, value=loss), values)


def test_a_retried_trial_counts_once(params: Params) -> None:
    search = project.Search(params)
    search.kill_worker_in_next_trial(1)
    search.make_stale()
    search.kill_worker_in_next_trial(1)
    assert tables.counts(search.study) == "1 trial: 1 running; 1 tried again"


def test_the_table_shows_the_best_trials_with_their_values(params: Params) -> None:
    search = project.Search(params)
    search.run_all(2)
    console = Console(width=80, file=io.StringIO())
    with console.capture() as capture:
        console.print(tables.best_trials(search.study, search.definition))
    text = capture.get()
    assert "0.5000" in text
    assert "unfreeze." in text
    assert "depth" in text
    assert "…" not in text
    assert "2 trials: 2 complete" in text


@pytest.mark.parametrize(
    ("found", "confirmed", "expected"),
    [
        ([], False, "no trial is complete yet"),
        ([candidate(0.25, [])], False, "best so far: trial -1 with log_loss 0.2500 on one seed, "
         "not confirmed"),
        ([candidate(0.2, [0.2, 0.4])], True, "winner: trial -1 with log_loss 0.3000 ± 0.1414 over "
         "2 new seeds (there is no runner-up)"),
        ([candidate(0.2, [0.2, 0.3]), candidate(0.2, [0.5, 0.6])], True, "winner: trial -1 with "
         "log_loss 0.2500 ± 0.0707 over 2 new seeds; runner-up: trial -1 with 0.5500 ± 0.0707"),
        ([candidate(0.2, [0.2, 0.4]), candidate(0.2, [0.3, 0.5])], True, "no clear winner: trial "
         "-1 with log_loss 0.3000 ± 0.1414 over 2 new seeds, trial -1 with 0.4000 ± 0.1414: the "
         "gap is within the spread of seeds. Trial -1 counts as the winner"),
        ([candidate(0.2, [0.25]), candidate(0.2, [0.25])], True, "no clear winner: trial -1 with "
         "log_loss 0.2500 ± 0.0000 over 1 new seed, trial -1 with 0.2500 ± 0.0000: the gap is "
         "within the spread of seeds. Trial -1 counts as the winner"),
    ],
)  # fmt: skip
def test_the_winner_is_named_with_its_spread(
    found: list[Candidate], confirmed: bool, expected: str
) -> None:
    assert tables.winner_line(found, "log_loss", confirmed=confirmed) == expected


def test_a_gap_of_rounding_makes_no_clear_winner_where_seeds_have_no_spread() -> None:
    first, other = candidate(0.2, [0.2, 0.2]), candidate(0.2, [0.2000001, 0.2000001])
    assert not tables.is_clear([first, other])
    assert tables.is_clear([first, candidate(0.2, [0.21, 0.21])])


def test_values_are_shown_as_lines() -> None:
    assert tables.values_text({"a.b": 0.00012345, "c": [8]}) == "  a.b: 0.000123\n  c: [8]"
