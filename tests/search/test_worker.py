from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from tests.search import project
from tests.search.outage import Outage
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.parameter_values import with_values
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.search import applying, attempt, confirmation, tables, trial, trial_queue
from thaw.search.dimension import Dimension
from thaw.search.outages import is_outage
from thaw.search.storage import HeartbeatStorage
from thaw.search.study import ranked_trials
from thaw.search.study_log import record_of
from thaw.search.trial import Result
from thaw.search.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

RESULT = Result({"log_loss": 0.5, "accuracy": 0.8}, None, 1, [], 0.1)


def work(params: Params, trials: int, prepare: Callable[[project.Search], None] | None = None) -> (
    project.Search
):  # fmt: skip
    """Let one worker work on the study, after ``prepare`` has changed it."""
    search = project.Search(params)
    if prepare is not None:
        prepare(search)
    Worker(project.opened(params), search.definition, search.storage).work("", trials)
    return search


def without_confirmation(params: Params, **changes: Any) -> Params:
    search = params.search.model_copy(update={"confirm_seeds": 0, **changes})
    return params.model_copy(update={"search": search})


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_a_worker_runs_the_study_to_its_end_and_confirms_the_best(params: Params) -> None:
    search = work(with_values(params, {"regularize.calibration": "off"}), 5)
    assert len(search.states()) == 5
    assert set(search.states()) <= {"COMPLETE", "PRUNED"}
    found = confirmation.candidates(search.study, search.definition, search.storage)
    assert confirmation.is_confirmed(found, search.definition)
    assert [len(each.values) for each in found] == [2, 2]
    assert found[0].mean <= found[1].mean
    assert "winner: trial" in tables.winner_line(found, "log_loss", confirmed=True)
    best = ranked_trials(search.study)[0]
    logged = record_of(best, search.definition)
    assert logged.metrics["log_loss"] == best.values[0]
    assert min(row["val_loss"] for row in logged.curve) == best.values[0]
    assert set(attempt.values_of(best, search.definition.dimensions)) == set(project.SPACE)


@pytest.mark.slow
def test_with_two_objectives_nothing_is_pruned_and_there_is_a_pareto_front(params: Params) -> None:
    search = work(without_confirmation(params, latency=True, objective="macro_f1"), 4)
    assert search.states() == ["COMPLETE"] * 4
    assert search.study.metric_names == ["macro_f1", "latency_ms"]
    assert 1 <= len(tables.pareto_front(search.study)) <= 4


def test_a_poor_trial_is_pruned_and_its_reason_is_stored(params: Params) -> None:
    def enqueue(search: project.Search) -> None:
        for rate in (0.01, 0.005, 0.0001):
            search.study.enqueue_trial(
                {"head.hidden": "[]", "unfreeze.depth": 2, "unfreeze.lr": rate}
            )

    search = work(without_confirmation(params, pruner="successive_halving"), 3, enqueue)
    pruned = [trial for trial in search.study.trials if trial.state.name == "PRUNED"]
    assert pruned
    assert "is not among the best so far" in record_of(pruned[0], search.definition).reason
    assert len(pruned[0].intermediate_values) < params.unfreeze.epochs + 1


def test_trials_with_given_values_are_never_pruned(params: Params) -> None:
    def enqueue(search: project.Search) -> None:
        for rate in (0.01, 0.0001):
            values = {"head.hidden": [], "unfreeze.depth": 2, "unfreeze.lr": rate}
            trial_queue.enqueue(search.study, search.definition.dimensions, "params.yaml", values)

    search = work(without_confirmation(params, pruner="successive_halving"), 2, enqueue)
    assert search.states() == ["COMPLETE"] * 2


@pytest.mark.slow
def test_a_search_over_two_backbones_ends_with_the_values_of_the_better_one(
    params: Params,
) -> None:
    names = ["lenet5", "timm/test_resnet"]
    rates = {"low": 0.0001, "high": 0.01, "log": True}
    write_values({
        "search.space": {"backbone.name": names, "unfreeze.lr": rates},
        "search.pruner": "none", "search.confirm_seeds": 0,
    })  # fmt: skip

    def enqueue(search: project.Search) -> None:
        for name in names:
            search.study.enqueue_trial({"backbone.name": name})

    search = work(load(Params), 4, enqueue)
    ranked = ranked_trials(search.study)
    found = [attempt.values_of(trial, search.definition.dimensions) for trial in ranked]
    assert len(found) == 4
    assert {values["backbone.name"] for values in found} == set(names)
    applying.apply(project.PREPARED, "", None)
    applied = load(Params)
    assert applied.backbone.name == found[0]["backbone.name"]
    result, _ = trial.run(project.opened(applied), applied, lambda _: None)
    assert result.objective("log_loss") == ranked[0].values[0]


@pytest.mark.slow
@pytest.mark.parametrize(("latency", "state"), [(False, "PRUNED"), (True, "FAIL")])
def test_a_trial_that_diverges_has_a_reason_and_the_search_continues(
    params: Params, latency: bool, state: str
) -> None:
    def enqueue(search: project.Search) -> None:
        trial_queue.enqueue(search.study, search.definition.dimensions, "wild", {
            "head.hidden": [], "unfreeze.depth": 2, "unfreeze.lr": 0.01,
            "unfreeze.optimizer": "sgd", "unfreeze.weight_decay": 1000, "unfreeze.epochs": 100,
            "unfreeze.patience": 100,
        })  # fmt: skip

    search = work(without_confirmation(params, latency=latency), 2, enqueue)
    assert search.states() == [state, "COMPLETE"]
    reason = search.study.trials[0].user_attrs[attempt.REASON]
    assert "is not finite" in reason or "loss is" in reason


@pytest.mark.slow
def test_a_trial_whose_steps_batchnorm_cannot_normalise_has_a_reason_and_the_search_continues(
    params: Params,
) -> None:
    values = {
        "backbone.name": "timm/test_resnet",  # its last maps have one pixel
        "backbone.image_size": 32,
        "unfreeze.batch_norm": "train",
    }
    params = with_values(without_confirmation(params), values)

    def enqueue(search: project.Search) -> None:
        trial_queue.enqueue(search.study, search.definition.dimensions, "single images", {
            "head.hidden": [], "unfreeze.depth": 2, "unfreeze.lr": 0.001, "unfreeze.batch_size": 1,
        })  # fmt: skip

    search = work(params, 2, enqueue)
    assert search.states() == ["PRUNED", "COMPLETE"]
    assert "a step has one image per process" in search.study.trials[0].user_attrs[attempt.REASON]


def test_an_interruption_before_the_training_costs_no_retry(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dimension, "suggest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        work(params, 1)
    search = project.Search(params)
    assert search.states() == ["FAIL", "WAITING"]
    assert "retry_history" not in search.study.trials[1].system_attrs


@pytest.mark.slow
def test_an_interruption_after_the_result_does_not_repeat_the_trial(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thaw.search.trial.run", lambda *_: (RESULT, None))
    monkeypatch.setattr("thaw.search.worker.say", interrupt)
    with pytest.raises(KeyboardInterrupt):
        work(params, 1)
    assert project.Search(params).states() == ["COMPLETE"]


def test_a_trial_whose_end_meets_an_outage_of_the_database_waits_and_keeps_its_retries(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thaw.search.outages._POLL_INTERVAL", 0.0)
    monkeypatch.setattr("thaw.search.trial.run", lambda *_: (RESULT, None))
    tell = HeartbeatStorage.set_trial_state_values

    def tell_in_outage(
        storage: HeartbeatStorage, trial_id: int, state: TrialState, values: Any = None
    ) -> bool:
        if state == TrialState.COMPLETE:
            Outage(storage).begin()
        return tell(storage, trial_id, state, values)

    with monkeypatch.context() as patch:
        patch.setattr(HeartbeatStorage, "set_trial_state_values", tell_in_outage)
        with pytest.raises(StorageInternalError) as raised:
            work(params, 1)
    assert is_outage(raised.value)  # so that another worker is started
    search = project.Search(params)
    assert search.states() == ["FAIL", "WAITING"]
    assert "retry_history" not in search.study.trials[1].system_attrs


@pytest.mark.slow
def test_a_full_disk_ends_the_worker_and_the_trial_waits(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(*_: object) -> None:
        raise ThawError("could not write 9 bytes: No space left on device")

    params = without_confirmation(params)
    monkeypatch.setattr("thaw.search.trial.run", fill_disk)
    with pytest.raises(ThawError, match="No space left"):
        work(params, 3)
    search = project.Search(params)
    assert search.states() == ["FAIL", "WAITING"]
    assert "No space left" in search.study.trials[0].user_attrs[attempt.REASON]
    monkeypatch.setattr("thaw.search.trial.run", lambda *_: (RESULT, None))
    search = work(params, 3)
    assert search.states() == ["FAIL"] + ["COMPLETE"] * 3


@pytest.mark.slow
def test_a_trial_declared_stale_while_it_trains_is_abandoned(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after a suspended laptop: the worker continues with the next trial.
    params = without_confirmation(params)
    other = project.Search(params)
    other.make_stale()
    from thaw.search import trial

    real = trial.run

    def run(*arguments: Any) -> Any:
        if len(other.states()) == 1:
            assert other.run(1) == 1
        return real(*arguments)

    monkeypatch.setattr("thaw.search.trial.run", run)
    search = work(params, 2)
    assert search.states() == ["FAIL", "COMPLETE", "COMPLETE"]
    assert "retry_history" in search.study.trials[1].system_attrs


def test_an_unexpected_error_ends_the_worker_and_is_stored(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("in a trial")

    monkeypatch.setattr("thaw.search.trial.run", fail)
    with pytest.raises(ZeroDivisionError):
        work(params, 1)
    (trial,) = project.Search(params).study.trials
    assert trial.state == optuna.trial.TrialState.FAIL
    assert trial.user_attrs[attempt.REASON] == "ZeroDivisionError: in a trial"
