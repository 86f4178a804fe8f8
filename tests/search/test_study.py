from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pytest
from optuna.trial import TrialState

from tests import settings
from tests.search import project
from thaw.errors import ThawError
from thaw.search import commands, confirmation, search_space, storage, study, tables
from thaw.search.study_definition import Question
from thaw.search.study_log import record
from thaw.search.trial import Result
from thaw.search.worker import Worker

if TYPE_CHECKING:
    from thaw.config.params import Params

RESULT = Result({"log_loss": 0.5, "accuracy": 0.8, "macro_f1": 0.7}, None, 1, [], 0.1)


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    return project.make(tmp_path)


def complete(params: Params, trials: int, loss: float = 0.5) -> optuna.Study:
    asked, connected, main = project.new_study(params)
    while (taken := study.claim(main, connected, trials)) is not None:
        study.sample(taken, asked.dimensions)
        metrics = {"log_loss": loss + 0.1 * taken.number, "accuracy": 0.8, "macro_f1": 0.7}
        result = Result(metrics, None, 1, [], 0.1)
        study.finish(main, taken, TrialState.COMPLETE, "", result, asked.metrics)
    return main


def test_a_study_has_exactly_as_many_trials_as_asked_for(params: Params) -> None:
    assert len(complete(params, 3).trials) == 3
    assert len(complete(params, 5).trials) == 5  # continued, not begun anew
    assert len(complete(params, 2).trials) == 5


def test_two_workers_never_draw_the_same_trial(params: Params) -> None:
    asked = project.question(params)
    connected = storage.connect("")
    drawn = []
    for worker in (0, 1):
        main = study.open_study(asked, connected, worker=worker)
        taken = study.claim(main, connected, 10)
        assert taken is not None
        drawn.append(study.sample(taken, asked.dimensions)["unfreeze.lr"])
    assert drawn[0] != drawn[1]


def test_other_parameters_are_another_study(params: Params) -> None:
    first = project.question(params)
    more = project.question(search_space.changed(params, {"warmup_head.epochs": 9}))
    inside = project.question(
        search_space.changed(params, {"unfreeze.depth": 0, "unfreeze.lr": 0.01})
    )
    assert more.key != first.key
    assert inside.key == first.key  # so that --apply does not begin a new one


def test_other_views_are_another_study_where_there_is_augmentation(params: Params) -> None:
    def key(views: int, **augment: float) -> str:
        search = params.search.model_copy(update={"views": views})
        changes = {"search": search, "augment": settings.augment(**augment)}
        return project.question(params.model_copy(update=changes)).key

    assert key(4, rotate=6.0) != key(8, rotate=6.0)
    assert key(4) == key(8)


def test_an_alias_that_has_moved_is_another_study(params: Params) -> None:
    keys = {
        weights: [Question.of(
            search_space.changed(params, {"backbone.weights": weights}),
            "data", f"models:/m/{version}",
        ).key for version in (1, 2)]
        for weights in ("models:/m@champion", "models:/m/1")
    }  # fmt: skip
    assert keys["models:/m@champion"][0] != keys["models:/m@champion"][1]
    assert keys["models:/m@champion"][0] == keys["models:/m/1"][0]


def test_a_study_that_asks_something_else_is_refused(params: Params) -> None:
    connected = storage.connect("")
    study.open_study(project.question(params), connected, "mine")
    other = project.question(search_space.changed(params, {"warmup_head.epochs": 9}))
    with pytest.raises(ThawError, match="the study mine was made with other parameters"):
        study.open_study(other, connected, "mine")


def test_a_study_that_is_not_there_is_one_line_that_names_those_that_are(params: Params) -> None:
    connected = storage.connect("")
    study.open_study(project.question(params), connected, "mine")
    with pytest.raises(ThawError, match=r"no study yours; there are mine \(--study NAME\)"):
        study.existing(project.question(params), connected, "yours")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////dev/null/search.db",
        "sqlite:////no/such/folder/search.db",
        "nonsense",
        "postgresql://h:1/x",
        "what://x",
    ],
)
def test_a_storage_that_does_not_answer_is_one_line(url: str) -> None:
    with pytest.raises(ThawError, match=r"^search\.storage: .* cannot be used: ") as raised:
        storage.connect(url)
    assert "\n" not in str(raised.value)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(ThawError) as raised:
        storage.connect("postgresql://me:secret@localhost:1/x")
    assert "secret" not in str(raised.value)


def test_what_is_there_and_the_advice_come_first(params: Params) -> None:
    asked, connected, main = project.new_study(params)
    advised = {"unfreeze.lr": 0.5, "unfreeze.epochs": 7, "warmup_head.fit": "logistic"}
    for name, values in commands.first_trials(asked, advised):
        study.enqueue(main, asked.dimensions, name, values)
    found = []
    for _ in range(2):
        taken = study.claim(main, connected, 2)
        assert taken is not None
        found.append((taken.user_attrs["name"], study.sample(taken, asked.dimensions)))
    current = {"head.hidden": [], "unfreeze.depth": 2, "unfreeze.lr": 0.001}
    assert found[0] == ("params.yaml", current)
    # as far as the space has room: 0.01 is its highest rate
    assert found[1] == ("advice", {**current, **advised, "unfreeze.lr": 0.01})
    assert study.claim(main, connected, 2) is None


def test_a_trial_whose_worker_was_killed_is_tried_again_once(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "GRACE", 1)
    monkeypatch.setattr(storage, "HEARTBEAT", 1)
    asked, connected, main = project.new_study(params)
    values = []
    for _ in range(2):
        taken = study.claim(main, connected, 1)
        assert taken is not None
        values.append(study.sample(taken, asked.dimensions))
        _grow_old(connected, taken._trial_id)
    assert values[0] == values[1]
    assert study.claim(main, connected, 1) is None  # the second attempt was its last
    assert len(study.roots(main)) == 1
    assert [trial.state for trial in main.trials] == [TrialState.FAIL] * 2


def _grow_old(connected: optuna.storages.RDBStorage, trial_id: int) -> None:
    from sqlalchemy import text

    with connected.engine.begin() as connection:
        connection.execute(
            text("UPDATE trial_heartbeats SET heartbeat = '2020-01-01' WHERE trial_id = :id"),
            {"id": trial_id},
        )


def test_a_sign_of_life_keeps_a_trial(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "HEARTBEAT", 0.05)
    _, connected, main = project.new_study(params)
    taken = study.claim(main, connected, 1)
    assert taken is not None
    _grow_old(connected, taken._trial_id)
    with study.alive(connected, taken):
        import time

        time.sleep(0.5)
        assert study.claim(main, connected, 1) is None
    assert main.trials[0].state == TrialState.RUNNING


def test_one_given_up_for_dead_does_not_count_when_it_ends_after_all(params: Params) -> None:
    asked, connected, main = project.new_study(params)
    taken = study.claim(main, connected, 1)
    assert taken is not None
    study.sample(taken, asked.dimensions)
    _grow_old(connected, taken._trial_id)
    again = study.claim(main, connected, 1)
    assert again is not None
    for each in (taken, again):
        study.finish(main, each, TrialState.COMPLETE, "", RESULT, asked.metrics)
    states = [trial.state for trial in main.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]


def test_an_interrupted_trial_waits_and_has_lost_no_attempt(params: Params) -> None:
    asked, connected, main = project.new_study(params)
    for _ in range(3):
        taken = study.claim(main, connected, 1)
        assert taken is not None
        values = study.sample(taken, asked.dimensions)
        study.give_back(main, connected, "interrupted")
    taken = study.claim(main, connected, 1)
    assert taken is not None
    assert study.sample(taken, asked.dimensions) == values
    assert len(study.roots(main)) == 1


def test_one_whose_worker_was_killed_as_it_took_it_is_run_by_the_next(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, connected, main = project.new_study(params)

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(type(connected), "record_heartbeat", killed)
        with pytest.raises(SystemExit):
            study.claim(main, connected, 1)
    assert study.is_busy(main)
    taken = study.claim(main, connected, 1)
    assert taken is not None
    assert len(study.roots(main)) == 1
    assert "retry_history" not in main.trials[1].system_attrs  # it has lost no attempt
    assert [trial.state for trial in main.trials] == [TrialState.FAIL, TrialState.RUNNING]


def test_what_is_not_running_is_not_given_back(params: Params) -> None:
    asked, connected, main = project.new_study(params)
    taken = study.claim(main, connected, 2)
    assert taken is not None
    study.finish(main, taken, TrialState.COMPLETE, "", RESULT, asked.metrics)
    dead = study.claim(main, connected, 2)
    assert dead is not None
    _grow_old(connected, dead._trial_id)
    optuna.storages.fail_stale_trials(main)
    study.give_back(main, connected, "interrupted")
    states = [trial.state for trial in main.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING]


def work(params: Params, trials: int) -> optuna.Study:
    """One worker's work on the study, which an interruption may end."""
    asked, connected, main = project.new_study(params)
    with pytest.raises((KeyboardInterrupt, ThawError)):
        Worker(project.opened(params), asked, connected).work("", 0, trials)
    return main


def test_an_interruption_before_the_training_costs_no_attempt(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "sample", interrupted)
    main = work(params, 1)
    assert [trial.state for trial in main.trials] == [TrialState.FAIL, TrialState.WAITING]
    assert "retry_history" not in main.trials[1].system_attrs


def test_an_interruption_after_the_result_does_not_run_it_again(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thaw.search.trial.run", lambda *_: (RESULT, None))
    monkeypatch.setattr("thaw.search.worker.say", interrupted)
    assert [trial.state for trial in work(params, 1).trials] == [TrialState.COMPLETE]


def test_a_full_disk_ends_the_worker_and_not_the_trial(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ThawError("could not write 9 bytes: No space left on device")

    monkeypatch.setattr("thaw.search.trial.run", full)
    main = work(params, 3)
    assert [trial.state for trial in main.trials] == [TrialState.FAIL, TrialState.WAITING]
    assert "No space left" in main.trials[0].user_attrs["why"]
    monkeypatch.setattr("thaw.search.trial.run", lambda *_: (RESULT, None))
    search = params.search.model_copy(update={"confirm_seeds": 0})
    params = params.model_copy(update={"search": search})
    asked, connected, main = project.new_study(params)
    Worker(project.opened(params), asked, connected).work("", 0, 3)
    assert len(study.roots(main)) == 3
    assert len(study.ranked(main)) == 3


_TAKER = """
import sys
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.search import storage, study
from tests.search import project
params = load(Params)
asked = project.question(params)
connected = storage.connect("")
main = study.open_study(asked, connected, worker=int(sys.argv[1]))
while (taken := study.claim(main, connected, 12)) is not None:
    study.sample(taken, asked.dimensions)
    study.finish(main, taken, study.TrialState.PRUNED)
    print(taken.number)
"""


def test_workers_that_start_together_share_the_trials_out(params: Params) -> None:
    """On a database that none of them has seen: each trial is run once, and none too many."""
    from tests.project import ROOT, environment

    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _TAKER, str(number)],
            env={**environment(), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    numbers = []
    for worker in workers:
        output, _ = worker.communicate(timeout=100)
        assert worker.returncode == 0
        numbers += [int(line) for line in output.split()]
    assert sorted(numbers) == list(range(12))


def test_a_worker_runs_the_study_to_its_end_and_confirms_the_best(params: Params) -> None:
    ground = project.opened(params)
    asked = project.question(params)
    connected = storage.connect("")
    Worker(ground, asked, connected).work("", 0, 5)
    main = study.open_study(asked, connected)
    states = [trial.state for trial in main.trials]
    assert len(states) == 5
    assert set(states) <= {TrialState.COMPLETE, TrialState.PRUNED}
    found = confirmation.contenders(main, asked, connected)
    assert confirmation.is_confirmed(found, asked)
    assert len(found) == 2
    assert [len(each.values) for each in found] == [2, 2]
    assert found[0].mean <= found[1].mean
    assert "winner: trial" in tables.verdict(found, "log_loss", confirmed=True)
    best = study.ranked(main)[0]
    logged = record(best, asked)
    assert logged.metrics["log_loss"] == best.values[0]
    assert min(row["val_loss"] for row in logged.curve) == best.values[0]
    asked_again = study.values_of(best, asked.dimensions)
    assert set(asked_again) == set(project.SPACE)


def test_two_objectives_have_a_front_and_nothing_is_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = project.make(tmp_path, latency=True, objective="macro_f1")
    ground, asked = project.opened(params), project.question(params)
    connected = storage.connect("")
    Worker(ground, asked, connected).work("", 0, 4)
    main = study.open_study(asked, connected)
    assert [trial.state for trial in main.trials] == [TrialState.COMPLETE] * 4
    assert main.metric_names == ["macro_f1", "latency_ms"]
    assert 1 <= len(tables.front(main)) <= 4


@pytest.mark.parametrize("kind", ["hyperband", "successive_halving"])
def test_no_trial_is_pruned_for_its_first_epochs_and_poor_ones_are_later(
    params: Params, kind: str
) -> None:
    """They may be the worst of what becomes the best."""
    search = params.search.model_copy(update={"pruner": kind})
    unfreeze = params.unfreeze.model_copy(update={"epochs": 7})
    pruner = study._pruner(params.model_copy(update={"search": search, "unfreeze": unfreeze}))
    made = optuna.create_study(pruner=pruner)
    ended = []
    for number in range(12):
        trial = made.ask()
        for epoch in range(1, 8):
            trial.report(1.0 + number, epoch)
            if trial.should_prune():
                ended.append(epoch)
                break
        made.tell(trial, 1.0 + number)
    assert len(ended) > 5
    assert min(ended) == 3


def test_a_poor_trial_is_pruned_and_says_why(params: Params) -> None:
    search = params.search.model_copy(update={"pruner": "successive_halving", "confirm_seeds": 0})
    params = params.model_copy(update={"search": search})
    ground, asked = project.opened(params), project.question(params)
    connected = storage.connect("")
    main = study.open_study(asked, connected)
    for rate in (0.01, 0.005, 0.0001):
        main.enqueue_trial({"head.hidden": "[]", "unfreeze.depth": 2, "unfreeze.lr": rate})
    Worker(ground, asked, connected).work("", 0, 3)
    pruned = [trial for trial in main.trials if trial.state == TrialState.PRUNED]
    assert pruned
    assert "is not among the best so far" in record(pruned[0], asked).why
    assert len(pruned[0].intermediate_values) < params.unfreeze.epochs + 1


def test_the_first_trials_are_heard_to_the_end(params: Params) -> None:
    search = params.search.model_copy(update={"pruner": "successive_halving", "confirm_seeds": 0})
    params = params.model_copy(update={"search": search})
    ground, asked = project.opened(params), project.question(params)
    connected = storage.connect("")
    main = study.open_study(asked, connected)
    for rate in (0.01, 0.0001):
        values = {"head.hidden": [], "unfreeze.depth": 2, "unfreeze.lr": rate}
        study.enqueue(main, asked.dimensions, "params.yaml", values)
    Worker(ground, asked, connected).work("", 0, 2)
    assert [trial.state for trial in main.trials] == [TrialState.COMPLETE] * 2


def test_a_trial_that_diverges_is_an_answer_and_the_search_goes_on(params: Params) -> None:
    search = params.search.model_copy(update={"confirm_seeds": 0})
    params = params.model_copy(update={"search": search})
    ground, asked = project.opened(params), project.question(params)
    connected = storage.connect("")
    main = study.open_study(asked, connected)
    study.enqueue(main, asked.dimensions, "wild", {
        "head.hidden": [], "unfreeze.depth": 2, "unfreeze.lr": 0.01,
        "unfreeze.optimizer": "sgd", "unfreeze.weight_decay": 1e30,
    })  # fmt: skip
    Worker(ground, asked, connected).work("", 0, 2)
    wild = main.trials[0]
    assert wild.state == TrialState.PRUNED
    assert "is not finite" in wild.user_attrs["why"] or "loss is" in wild.user_attrs["why"]
    assert len(main.trials) == 2


def test_the_values_of_the_winner_are_written_and_nothing_else(params: Params) -> None:
    main = complete(params, 3)
    best = study.values_of(study.ranked(main)[0], project.question(params).dimensions)
    before = Path("params.yaml").read_text().splitlines()
    commands.apply(project.PREPARED, "", None)
    after = Path("params.yaml").read_text().splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) <= len(best)
    from thaw.config.loading import load
    from thaw.config.params import Params

    now = load(Params)
    for key, value in best.items():
        assert search_space.value_of(now, key) == (
            value if key != "unfreeze.lr" else pytest.approx(value)
        )


def test_a_trial_that_is_not_there_cannot_be_applied(params: Params) -> None:
    complete(params, 2)
    with pytest.raises(ThawError, match="has no complete trial 7"):
        commands.apply(project.PREPARED, "", 7)


def test_counts_take_a_trial_once(params: Params) -> None:
    _, connected, main = project.new_study(params)
    taken = study.claim(main, connected, 1)
    assert taken is not None
    _grow_old(connected, taken._trial_id)
    study.claim(main, connected, 1)
    assert tables.counts(main) == "1 trials: 1 running; 1 tried again"
    assert json.loads(main.trials[1].user_attrs.get("beside", "{}")) == {}
