from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.search import project
from thaw.search import attempt, first_trials, trial_queue

if TYPE_CHECKING:
    import optuna
    import pytest

    from thaw.config.params import Params


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


def test_the_advice_is_tried_as_soon_as_there_is_room(
    params: Params, monkeypatch: pytest.MonkeyPatch
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
