from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import MlflowClient

from tests.search import project
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.search import attempt, confirmation
from thaw.search.study_log import StudyLog, record_of
from thaw.search.trial_queue import trial_of

if TYPE_CHECKING:
    import optuna
    from mlflow.entities import Run


def runs() -> list[Run]:
    return list(MlflowClient(f"sqlite:///{Path.cwd()}/mlruns/mlflow.db").search_runs(["1"]))


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_finished_trials_become_child_runs_and_are_printed_once(
    params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    search = project.Search(params)
    log = StudyLog(search.study, search.definition, Path("plots"))
    search.run_all(3)
    for _ in range(2):
        log.update(print_each=True)
    captured = capsys.readouterr()
    assert (captured.out + captured.err).count("complete: log_loss 0.5000") == 1
    log.finish("FINISHED", confirmation.candidates(search.study, search.definition, search.storage))
    (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best"] == 0.5
    assert parent.data.tags["thaw.best_trial"] == "0"
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("best so far: trial 0 with log_loss 0.5000")
    children = [run.data.tags["thaw.trial"] for run in runs() if "thaw.trial" in run.data.tags]
    assert sorted(children) == ["0", "1", "2"]
    client = MlflowClient(f"sqlite:///{Path.cwd()}/mlruns/mlflow.db")
    names = {item.path for item in client.list_artifacts(parent.info.run_id, "search")}
    assert {"search/search.html", "search/history.png", "search/slice.png"} <= names


@pytest.mark.usefixtures("store")
def test_trials_of_another_machine_are_not_logged(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = project.Search(params)
    with monkeypatch.context() as patch:
        patch.setattr(attempt, "location", lambda: "elsewhere:/project")
        search.run(1)
    StudyLog(search.study, search.definition, Path("plots")).update(print_each=False)
    assert not [run for run in runs() if "thaw.trial" in run.data.tags]


def test_the_record_of_a_killed_trial_has_its_reported_epochs_and_a_reason(
    params: Params,
) -> None:
    search = project.Search(params)

    def killed(trial: optuna.Trial) -> list[float]:
        trial.report(0.7, 1)
        raise SystemExit

    with pytest.raises(SystemExit):
        search.run(1, killed)
    search.make_stale()
    search.run(1)
    record = record_of(trial_of(search.study, 0), search.definition)
    assert (record.state, record.reason) == ("fail", "its worker was killed")
    assert record.curve == [{"epoch": 1, "val_loss": 0.7}]
    assert record.started <= record.ended


def test_the_record_of_a_trial_with_another_backbone_has_its_weights(params: Params) -> None:
    own, other = params.backbone.name, "timm/resnet18"
    write_values({
        "backbone.weights": "packaged",
        "search.space": {"backbone.name": [own, other], "unfreeze.lr": project.SPACE["unfreeze.lr"]}
    })  # fmt: skip
    search = project.Search(load(Params))
    for name in (own, other):
        search.study.enqueue_trial({"backbone.name": name})
    search.run_all(2)
    records = [record_of(trial_of(search.study, number), search.definition) for number in (0, 1)]
    weights = {
        each.values["backbone.name"]: each.values.get("backbone.weights") for each in records
    }
    assert weights == {own: None, other: "pretrained"}


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_the_end_of_a_search_keeps_what_a_user_wrote_on_the_run_of_the_study(
    params: Params,
) -> None:
    search = project.Search(params)
    client = MlflowClient(f"sqlite:///{Path.cwd()}/mlruns/mlflow.db")
    search.run_all(1)
    for _ in range(2):
        log = StudyLog(search.study, search.definition, Path("plots"))
        (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run.data.tags]
        text = parent.data.tags.get("mlflow.note.content", "")
        client.set_tag(parent.info.run_id, "mlflow.note.content", text or "mine")
        found = confirmation.candidates(search.study, search.definition, search.storage)
        log.finish("FINISHED", found)
    (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run.data.tags]
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("mine\n\nbest so far: trial 0 with log_loss 0.5000")
    assert note.count("best so far") == 1
