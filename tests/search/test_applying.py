from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.search import project
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.parameter_values import value_of
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.search import applying, attempt
from thaw.search.study import ranked_trials
from thaw.search.trial_queue import enqueue


def test_apply_writes_the_values_of_the_winner_and_nothing_else(params: Params) -> None:
    search = project.Search(params)
    search.run_all(3)
    best = attempt.values_of(ranked_trials(search.study)[0], search.definition.dimensions)
    before = Path("params.yaml").read_text().splitlines()
    applying.apply(project.PREPARED, "", None)
    after = Path("params.yaml").read_text().splitlines()
    changed = set(before) - set(after)
    assert len(changed) <= len(best)
    written = load(Params)
    for key, value in best.items():
        expected = pytest.approx(value) if key == "unfreeze.lr" else value
        assert value_of(written, key) == expected


def test_a_trial_that_does_not_exist_cannot_be_applied(params: Params) -> None:
    project.Search(params).run_all(2)
    with pytest.raises(ThawError, match="has no complete trial 7"):
        applying.apply(project.PREPARED, "", 7)


@pytest.mark.slow
def test_with_two_objectives_apply_needs_the_number_of_a_trial(params: Params) -> None:
    write_values({"search.latency": True})
    search = project.Search(load(Params))
    search.run(1, lambda trial: [search.draw(trial)["unfreeze.lr"], 0.1])
    with pytest.raises(ThawError, match="--trial NUMBER"):
        applying.apply(project.PREPARED, "", None)
    applying.apply(project.PREPARED, "", 0)


def search_of_advice(params: Params) -> tuple[project.Search, dict[str, Any]]:
    """Return a search with one trial, of values outside of the space; and these values."""
    search = project.Search(params)
    current = {d.key: value_of(params, d.key) for d in search.definition.dimensions}
    advised = {**current, "regularize.label_smoothing": 0.2}
    enqueue(search.study, search.definition.dimensions, "advice", advised)
    search.run_all(1)
    return search, advised


def test_values_outside_of_the_space_begin_a_new_study(params: Params) -> None:
    search, _ = search_of_advice(params)
    applied = applying.apply(project.PREPARED, "", 0)
    assert applied.begins_new_study
    assert applied.study == search.study.study_name
    assert project.definition_of(load(Params)).key != search.definition.key


@pytest.mark.slow
def test_values_of_the_space_continue_the_study(params: Params) -> None:
    search = project.Search(params)
    search.run_all(3)
    applied = applying.apply(project.PREPARED, "", 2)
    assert not applied.begins_new_study
    assert project.definition_of(load(Params)).key == search.definition.key


@pytest.mark.slow
def test_the_result_names_the_trial_its_values_and_what_changed(params: Params) -> None:
    search = project.Search(params)
    search.run_all(2)
    applied = applying.apply(project.PREPARED, "", 1)
    trial = next(each for each in ranked_trials(search.study) if each.number == 1)
    assert (applied.study, applied.trial) == (search.study.study_name, 1)
    assert applied.values == attempt.values_of(trial, search.definition.dimensions)
    assert set(applied.changed) <= set(applied.values)
    assert applied.winner == ""
    assert applying.apply(project.PREPARED, "", None).winner.startswith("best so far: trial ")


@pytest.mark.slow
def test_values_that_began_a_new_study_can_be_applied_again(params: Params) -> None:
    search, advised = search_of_advice(params)
    for number in (None, 0):
        applying.apply(project.PREPARED, "", number)
        again = applying.apply(project.PREPARED, "", number)
        assert (again.study, again.trial) == (search.study.study_name, 0)
        assert again.values == advised
        assert again.changed == []
        assert again.begins_new_study
    write_values({"regularize.label_smoothing": 0.3})
    with pytest.raises(ThawError, match="no study of these parameters"):
        applying.apply(project.PREPARED, "", None)


@pytest.mark.parametrize("searched", ["head.dropout", "unfreeze.depth"])
def test_a_study_of_another_space_is_not_taken_for_one_that_was_applied(
    params: Params, searched: str
) -> None:
    search = project.Search(params)
    search.run_all(3)
    trial = next(each for each in ranked_trials(search.study) if each.number == 2)
    assert trial.params["unfreeze.lr"] != params.unfreeze.lr
    depth = trial.params["unfreeze.depth"]
    choices = {"head.dropout": [0.0, 0.2], "unfreeze.depth": [depth, depth + 1]}
    write_values({"unfreeze.depth": depth, "search.space": {searched: choices[searched]}})
    with pytest.raises(ThawError, match="no study of these parameters"):
        applying.apply(project.PREPARED, "", 2)


def test_a_study_of_another_program_in_the_storage_does_not_count(params: Params) -> None:
    search = project.Search(params)
    other = optuna.create_study(storage=search.storage, study_name="foreign")
    other.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=1)
    with pytest.raises(ThawError, match="has no complete trial yet"):
        applying.apply(project.PREPARED, "", None)
    write_values({"unfreeze.patience": 9})
    with pytest.raises(ThawError, match="no study of these parameters"):
        applying.apply(project.PREPARED, "", None)
