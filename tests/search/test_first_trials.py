from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.search import project
from thaw.advice.stored_advice import store_advice
from thaw.context import open_context
from thaw.registry.starting_model import starting_model
from thaw.search import attempt, first_trials, trial_queue

if TYPE_CHECKING:
    import optuna

    from thaw.config.params import Params


def store(values: dict[str, Any], params: Params) -> None:
    """Store ``values`` as `thaw advise` does."""
    context = open_context(params, project.PREPARED, single_process=True)
    _, spec = starting_model(context, all_blocks=True)
    store_advice(values, context, spec)


def test_the_values_of_params_yaml_come_first_and_then_the_advice(params: Params) -> None:
    search = project.Search(params)
    advised = {"unfreeze.lr": 0.5, "unfreeze.epochs": 7, "warmup_head.fit": "logistic"}
    for name, values in first_trials.first_trials(search.definition, advised):
        trial_queue.enqueue(search.study, search.definition.dimensions, name, values)
    used = []

    def objective(trial: optuna.Trial) -> list[float]:
        used.append((trial.user_attrs[attempt.NAME], search.draw(trial)))
        return [0.5]

    while search.run(2, objective) is not None:
        pass
    current = {"head.hidden": [], "unfreeze.depth": 2, "unfreeze.lr": 0.001}
    # 0.01 is the highest rate of the space
    assert used == [
        ("params.yaml", current),
        ("advice", {**current, **advised, "unfreeze.lr": 0.01}),
    ]


def test_a_head_with_hidden_layers_is_not_fitted_in_closed_form(params: Params) -> None:
    head = params.head.model_copy(update={"hidden": [8]})
    definition = project.definition_of(params.model_copy(update={"head": head}))
    _, (_, values) = first_trials.first_trials(definition, {"warmup_head.fit": "logistic"})
    assert values["head.hidden"] == [8]
    assert "warmup_head.fit" not in values


def test_the_advised_strength_is_used_with_the_advised_fit_only(params: Params) -> None:
    advised = {"warmup_head.fit": "logistic", "warmup_head.strength": 0.1}
    _, (_, values) = first_trials.first_trials(project.definition_of(params), advised)
    assert values.items() >= advised.items()
    head = params.head.model_copy(update={"hidden": [8]})
    definition = project.definition_of(params.model_copy(update={"head": head}))
    _, (_, values) = first_trials.first_trials(definition, advised)
    assert not values.keys() & advised.keys()


def test_the_advice_is_what_was_compared_and_nothing_is_measured_then(
    params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compared = {"unfreeze.lr": 0.005, "unfreeze.refit": "off"}
    store(compared, params)
    monkeypatch.setattr(first_trials, "measured_project", lambda *_: pytest.fail("measured"))
    search = project.Search(params)
    first_trials.enqueue_first_trials(
        search.study, search.storage, search.definition, project.PREPARED, 2
    )
    search.run_all(2)
    _, advice = search.study.get_trials()
    found = attempt.values_of(advice, search.definition.dimensions)
    assert advice.user_attrs[attempt.NAME] == "advice"
    assert found.items() >= compared.items()
    assert "the values that `thaw advise` has compared" in capsys.readouterr().err


def test_an_advice_that_params_yaml_has_already_is_no_second_trial(
    params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    applied = {"unfreeze.lr": params.unfreeze.lr, "unfreeze.refit": params.unfreeze.refit}
    store(applied, params)
    search = project.Search(params)
    for _ in range(2):
        first_trials.enqueue_first_trials(
            search.study, search.storage, search.definition, project.PREPARED, 2
        )
    names = [trial.user_attrs[attempt.NAME] for trial in search.study.get_trials()]
    assert names == ["params.yaml"]
    assert "params.yaml has the values of the advice" in capsys.readouterr().err


def test_the_advice_is_tried_as_soon_as_there_is_room(
    params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    advised: Any = SimpleNamespace(values={"unfreeze.lr": 0.005})
    measured: list[object] = []
    monkeypatch.setattr(first_trials, "measured_project", lambda path, _: measured.append(path))
    monkeypatch.setattr(first_trials, "recommend", lambda _: advised)
    search = project.Search(params)
    for trials in (1, 1, 2, 3):
        first_trials.enqueue_first_trials(
            search.study, search.storage, search.definition, project.PREPARED, trials
        )
        search.run(trials)
    names = [trial.user_attrs.get(attempt.NAME) for trial in search.study.trials]
    assert names == ["params.yaml", "advice", None]
    assert measured == [project.PREPARED]  # once, when the advice has room
    assert "one trial" not in capsys.readouterr().err
