from __future__ import annotations

from typing import TYPE_CHECKING

import optuna
import pytest

from tests.search import project
from thaw.config.parameter_values import with_values
from thaw.errors import ThawError
from thaw.search import confirmation, study

if TYPE_CHECKING:
    from thaw.config.params import Params


def test_a_named_study_with_another_definition_is_refused(params: Params) -> None:
    project.Search(params, "mine")
    with pytest.raises(
        ThawError, match=r"the study mine was made with other parameters.*omit --study"
    ):
        project.Search(with_values(params, {"warmup_head.epochs": 9}), "mine")


def test_the_message_about_a_missing_study_names_the_existing_ones(params: Params) -> None:
    search = project.Search(params, "mine")
    with pytest.raises(ThawError, match=r"no study yours; there are mine \(--study NAME\)"):
        study.find_study(search.definition, search.storage, "yours")
    with pytest.raises(ThawError, match="no study of these parameters and this data yet"):
        study.find_study(search.definition, search.storage)


def test_the_study_that_confirms_the_best_trials_is_no_study_of_a_user(params: Params) -> None:
    search = project.Search(params, "mine")
    confirmation.open_confirmation(search.study, search.definition, search.storage)
    with pytest.raises(ThawError, match="names that end in /confirm"):
        project.Search(params, "mine/confirm")
    with pytest.raises(ThawError, match=r"no study mine/confirm; there are mine \(--study NAME\)"):
        study.find_study(search.definition, search.storage, "mine/confirm")


def test_complete_trials_are_ranked_by_the_first_objective(params: Params) -> None:
    search = project.Search(params)
    losses = [0.3, 0.1, 0.2]
    for _ in losses:
        search.run(3, lambda trial: [losses[trial.number]])
    search.run(4, _prune)
    assert [trial.number for trial in study.ranked_trials(search.study)] == [1, 2, 0]
    assert len(study.finished_trials(search.study)) == 4


def _prune(_: optuna.Trial) -> list[float]:
    raise optuna.TrialPruned


@pytest.mark.parametrize("kind", ["hyperband", "successive_halving"])
def test_no_trial_is_pruned_before_half_of_its_epochs(params: Params, kind: str) -> None:
    search = params.search.model_copy(update={"pruner": kind})
    unfreeze = params.unfreeze.model_copy(update={"epochs": 7})
    pruner = study.pruner_of(params.model_copy(update={"search": search, "unfreeze": unfreeze}))
    created = optuna.create_study(pruner=pruner)
    pruned_at = []
    for number in range(12):
        trial = created.ask()
        for epoch in range(1, 8):
            trial.report(1.0 + number, epoch)
            if trial.should_prune():
                pruned_at.append(epoch)
                break
        created.tell(trial, 1.0 + number)
    assert len(pruned_at) > 5
    assert min(pruned_at) == 3
