from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.search import project

if TYPE_CHECKING:
    from optuna.trial import Trial

    from thaw.config.params import Params


def drawn_by(params: Params, machines: int, trials: int, name: str) -> list[dict[str, Any]]:
    """Return the values of ``trials`` new trials, which the machines take in turn."""
    searches = [project.Search(params, name) for _ in range(machines)]
    drawn = []

    def objective(trial: Trial) -> list[float]:
        drawn.append(searches[0].draw(trial))
        return [1 / (1 + trial.number)]

    for number in range(trials):
        searches[number % machines].run(trials, objective)
    return drawn


def test_two_machines_that_begin_together_draw_different_trials(params: Params) -> None:
    drawn = drawn_by(params, 2, 14, "two")
    assert len({values["unfreeze.lr"] for values in drawn}) == 14


@pytest.mark.slow
def test_the_same_study_draws_the_same_trials_on_any_number_of_machines(params: Params) -> None:
    assert drawn_by(params, 1, 14, "one") == drawn_by(params, 3, 14, "three")
