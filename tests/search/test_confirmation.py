from __future__ import annotations

import json
from typing import TYPE_CHECKING

import optuna
import pytest
import sqlalchemy

from tests.search import project
from thaw.config.parameter_values import with_values
from thaw.search import attempt, confirmation, tables, trial_queue

if TYPE_CHECKING:
    from thaw.config.params import Params


def searched(params: Params) -> project.Search:
    """Return a study of three trials whose losses are 0, 0.1 and 0.2."""
    search = project.Search(params)

    def objective(trial: optuna.Trial) -> list[float]:
        search.draw(trial)
        return project.store_result(trial, search.definition, 0.1 * trial.number)

    while search.run(3, objective) is not None:
        pass
    return search


def open_again(search: project.Search) -> optuna.Study:
    return confirmation.open_confirmation(search.study, search.definition, search.storage)


def run_all(search: project.Search, again: optuna.Study, objective: trial_queue.Objective) -> None:
    while trial_queue.run_next(again, search.storage, 0, objective) is not None:
        pass


def waiting(study: optuna.Study) -> int:
    return len(study.get_trials(states=(optuna.trial.TrialState.WAITING,)))


def is_confirmed(search: project.Search) -> bool:
    found = confirmation.candidates(search.study, search.definition, search.storage)
    return confirmation.is_confirmed(found, search.definition)


def test_the_runner_up_has_other_values_than_the_best_trial(params: Params) -> None:
    search = project.Search(params)
    for depth in (1, 1, 2):
        values: dict[str, object] = {
            "head.hidden": [],
            "unfreeze.depth": depth,
            "unfreeze.lr": 0.001,
        }
        trial_queue.enqueue(search.study, search.definition.dimensions, "x", values)
    search.run_all(3)  # the loss rises with the number
    found = confirmation.finalists(search.study, search.definition.dimensions)
    assert [trial.number for trial in found] == [0, 2]


@pytest.mark.parametrize("objective", ["log_loss", "accuracy"])
def test_a_trial_that_diverges_on_a_new_seed_has_lost(objective: str, params: Params) -> None:
    search = searched(with_values(params, {"search.objective": objective}))
    again = open_again(search)

    def train(trial: optuna.Trial) -> list[float]:
        is_best = trial.user_attrs[attempt.CONFIRMED_TRIAL] == 0
        if is_best and trial.number == 0:
            raise optuna.TrialPruned("the gradient is not finite")
        return project.store_result(trial, search.definition, 0.1 if is_best else 0.4)

    run_all(search, again, train)
    found = confirmation.candidates(search.study, search.definition, search.storage)
    assert confirmation.is_confirmed(found, search.definition)
    assert [each.trial.number for each in found] == [1, 0]
    line = tables.winner_line(found, objective, confirmed=True)
    assert line.startswith("winner: trial 1")
    assert line.endswith("runner-up: trial 0 with none (it diverged on a seed)")


def test_the_trainings_with_new_seeds_are_counted(params: Params) -> None:
    search = searched(params)

    def counted() -> tuple[int, int] | None:
        found = confirmation.trainings(search.study, search.definition, search.storage)
        return found and (sum(trial.state.is_finished() for trial in found[0]), found[1])

    assert counted() is None
    again = open_again(search)
    assert counted() == (0, 4)
    trial_queue.run_next(
        again,
        search.storage,
        0,
        lambda trial: project.store_result(trial, search.definition, 0.3),
    )
    assert counted() == (1, 4)


@pytest.mark.slow
def test_the_trainings_of_former_finalists_are_not_counted(params: Params) -> None:
    search = searched(params)
    run_all(search, open_again(search), lambda t: project.store_result(t, search.definition, 0.3))

    def second_best(trial: optuna.Trial) -> list[float]:
        search.draw(trial)
        return project.store_result(trial, search.definition, 0.01)

    search.run(4, second_best)
    found = confirmation.trainings(search.study, search.definition, search.storage)
    assert found is not None
    assert (len(found[0]), found[1]) == (2, 4)


def test_a_look_at_the_trainings_does_not_read_the_other_studies(params: Params) -> None:
    search = searched(params)
    open_again(search)
    read: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        read.append(" ".join(statement.split()))

    sqlalchemy.event.listen(search.storage.engine, "before_cursor_execute", note)
    assert confirmation.trainings(search.study, search.definition, search.storage)
    assert read
    assert [each for each in read if "FROM stud" in each and "WHERE" not in each] == []


@pytest.mark.slow
def test_a_failed_trial_is_added_again_up_to_three_times(params: Params) -> None:
    search = searched(params)

    def train(trial: optuna.Trial) -> list[float]:
        is_best = trial.user_attrs[attempt.CONFIRMED_TRIAL] == 0
        if is_best and attempt.values_of(trial, [])["seed"] == 1:
            return [float("nan")]  # a failure for Optuna
        return project.store_result(trial, search.definition, 0.3)

    for expected in (4, 1, 1, 0, 0):
        again = open_again(search)
        assert waiting(again) == expected
        run_all(search, again, train)
    assert not is_confirmed(search)


@pytest.mark.slow
def test_an_interrupted_trial_waits_and_does_not_count_as_failed(params: Params) -> None:
    search = searched(params)

    def interrupt(_: optuna.Trial) -> list[float]:
        raise KeyboardInterrupt

    def train(trial: optuna.Trial) -> list[float]:
        return project.store_result(trial, search.definition, 0.3)

    for _ in range(5):
        again = open_again(search)
        with pytest.raises(KeyboardInterrupt):
            trial_queue.run_next(again, search.storage, 0, interrupt)
        trial_queue.requeue_lost(again, search.storage)
    again = open_again(search)
    assert waiting(again) == 4
    run_all(search, again, train)
    assert is_confirmed(search)


def test_the_new_seeds_of_the_largest_seed_begin_at_zero(params: Params) -> None:
    search = searched(with_values(params, {"seed": 2**31 - 1}))
    again = open_again(search)
    seeds = {json.loads(trial.user_attrs[attempt.FIXED_VALUES])["seed"] for trial in again.trials}
    assert seeds == {0, 1}
    with_values(params, {"seed": max(seeds)})
