from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tests.tracking.opened_at_once import open_at_once
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.result_values import flatten
from thaw.errors import ThawError
from thaw.system import code_digests, console, provenance
from thaw.tracking import result_run, run_identity, untracked_models
from thaw.tracking.outages import StoreOutageError
from thaw.tracking.result_run import ResultRun, wait_for_run
from thaw.tracking.run_identity import KEY
from thaw.tracking.run_lookup import RESULT
from thaw.tracking.run_owner import PROCESS
from thaw.tracking.store import connect, store_uri
from thaw.training.history import EpochRow

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parents[2]
DIGEST = "d" * 64
CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run(
        ["unshare", "--map-root-user", "--mount", "true"], capture_output=True
    ).returncode
    == 0
)

# A stage in a process of its own; what it does is the first argument, its data the second.
STAGE = """
import os, sys, time
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.result_values import flatten
from thaw.system.processes import run_main
from thaw.tracking.result_run import ResultRun

def main():
    run = ResultRun(load(Params), sys.argv[2])
    with run.stage("unfreeze"):
        print(run.run_id, flush=True)
        if sys.argv[1] == "wait":
            time.sleep(60)

run_main(main)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder without a store, which is entered."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    # MLflow sets it itself, for the processes it starts; empty counts as not set
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    yield tmp_path
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture
def project(folder: Path, empty_store: Path) -> Path:
    """A project's folder with a store, which is entered."""
    (folder / "mlruns").mkdir()
    shutil.copy(empty_store, folder / "mlruns" / "mlflow.db")
    return folder


def parameters(**tracking: object) -> Params:
    params = load(Params, ROOT / "params.yaml")
    return params.model_copy(update={"tracking": params.tracking.model_copy(update=tracking)})


def changed(section: str, **values: object) -> Params:
    params = parameters()
    return params.model_copy(update={section: getattr(params, section).model_copy(update=values)})


def client() -> MlflowClient:
    return MlflowClient(store_uri(parameters().tracking))


def status(run: ResultRun) -> str:
    found: str = client().get_run(run.run_id).info.status
    return found


def tags(run: ResultRun) -> dict[str, str]:
    found: dict[str, str] = client().get_run(run.run_id).data.tags
    return found


def steps(run: ResultRun, metric: str) -> list[int]:
    return sorted(entry.step for entry in client().get_metric_history(run.run_id, metric))


def rows(epochs: int) -> list[EpochRow]:
    first = EpochRow(0, None, 2.0, 0.1, 0.0)
    return [first, *(EpochRow(e, 1 / e, 2 / e, 0.9, 0.01) for e in range(1, epochs + 1))]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


# Where runs are kept


@pytest.mark.pipelines
def test_four_processes_open_a_fresh_store_at_once(folder: Path) -> None:
    opened = open_at_once(folder, 4)
    experiment = client().get_experiment_by_name("thaw")
    assert experiment is not None
    found = client().search_runs([experiment.experiment_id])
    assert {run.info.run_id for run in found} == set(opened)
    assert len(found) == 4
    assert {path.name for path in folder.iterdir()} == {"mlruns", "params.yaml"}
    assert not list(folder.glob("mlruns/.*"))


@pytest.mark.slow
def test_the_database_and_the_artifacts_are_under_mlruns(project: Path) -> None:
    Path("reports").mkdir()
    Path("reports/metrics.json").write_text("{}")
    Path("dvc.lock").write_text("stages: {}")
    before = set(project.iterdir())
    run = ResultRun(parameters(), DIGEST)
    with run.active():
        run.complete("a note", parameters().data, DIGEST)
    artifacts = {path.name for path in (project / "mlruns/artifacts").rglob("*.*")}
    assert artifacts == {"params.yaml", "dvc.lock", "metrics.json"}
    assert set(project.iterdir()) == before


def test_logged_parameters_do_not_contain_the_password_of_an_address(project: Path) -> None:
    section = "search: {storage: 'postgresql://ada:open-sesame@host/studies'}\n"
    with Path("params.yaml").open("a") as stream:
        stream.write(section)
    before = Path("params.yaml").read_text()
    Path("reports").mkdir()
    run = ResultRun(parameters(), DIGEST)
    with run.active():
        run.complete("a note", parameters().data, DIGEST)
    (logged,) = (project / "mlruns/artifacts").rglob("params.yaml")
    assert logged.read_text() == before.replace("open-sesame", "***")
    assert Path("params.yaml").read_text() == before


def test_the_environment_names_the_store(
    folder: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, "elsewhere.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/elsewhere.db")
    run = ResultRun(parameters(), DIGEST)
    assert MlflowClient(f"sqlite:///{folder}/elsewhere.db").get_run(run.run_id)
    assert not Path("mlruns").exists()


def test_tracking_uri_wins_over_the_environment(
    folder: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, "mine.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/elsewhere.db")
    run = ResultRun(parameters(uri=f"sqlite:///{folder}/mine.db"), DIGEST)
    assert MlflowClient(f"sqlite:///{folder}/mine.db").get_run(run.run_id)
    assert not Path("elsewhere.db").exists()


@pytest.mark.slow
def test_an_experiment_in_dvcs_copy_is_kept_with_the_projects_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # where `dvc exp run --temp` and `--queue` work; DVC removes it afterwards
    copy = project / ".dvc/tmp/exps/standalone/tmpabc"
    copy.mkdir(parents=True)
    first = ResultRun(parameters(), DIGEST)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert ResultRun(parameters(), DIGEST).run_id == first.run_id
    assert not list(copy.iterdir())


@pytest.mark.parametrize(
    "place",
    ["/proc/no/mlflow.db", "/sys/no/mlflow.db", "params.yaml/mlflow.db", "no_database.db"],
    ids=["cannot be made", "read-only", "a file in the way", "not a database"],
)
def test_a_store_that_cannot_be_used_is_named(place: str, folder: Path) -> None:
    Path("no_database.db").write_text("this was never a database\n" * 100)
    uri = f"sqlite:///{place}"
    with pytest.raises(ThawError) as caught:
        connect(parameters(uri=uri).tracking)
    assert uri in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_server_that_does_not_answer_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as taken:  # bound, but no process listens
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ThawError, match=f"the MLflow store {uri} cannot be used"):
            connect(parameters(uri=uri).tracking)


@pytest.mark.slow
@pytest.mark.skipif(not CAN_MOUNT, reason="this machine gives no mount namespaces")
def test_a_store_on_read_only_storage_is_refused_at_the_start(project: Path) -> None:
    read_only = "mount --bind mlruns mlruns && mount -o remount,ro,bind mlruns"
    done = subprocess.run(
        [
            *("unshare", "--map-root-user", "--mount", "sh", "-c"),
            f'{read_only} && exec "$@"',
            *("sh", sys.executable, "-c", STAGE, "end", DIGEST),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: tracking: the MLflow store sqlite:///")
    assert "Traceback" not in done.stderr


def test_a_moved_project_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ResultRun(parameters(), DIGEST)
    (project / "moved").mkdir()
    Path("mlruns").rename("moved/mlruns")
    monkeypatch.chdir("moved")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    with pytest.raises(ThawError) as caught:
        ResultRun(parameters(), DIGEST)
    message = str(caught.value)
    assert (
        f"the MLflow store was in {project / 'mlruns'} and is in {project / 'moved/mlruns'} now"
        in message
    )
    assert "run `thaw repair`, which corrects them" in message


def test_an_experiment_that_thaw_did_not_make_is_not_called_moved(project: Path) -> None:
    # "Default" comes with every MLflow database, with its artifacts in another place
    with pytest.raises(ThawError, match="'Default'") as caught:
        connect(parameters(experiment="Default").tracking)
    assert "moved" not in str(caught.value)


def test_a_deleted_experiment_is_refused(project: Path) -> None:
    run = ResultRun(parameters(), DIGEST)
    client().delete_experiment(run.experiment_id)
    with pytest.raises(ThawError, match="'thaw' was deleted in MLflow: restore it"):
        ResultRun(parameters(), DIGEST)


# Which run


def test_an_unfinished_run_is_found_again(project: Path) -> None:
    first = ResultRun(parameters(), DIGEST)
    second = ResultRun(parameters(), DIGEST)
    assert second.run_id == first.run_id
    assert status(second) == "RUNNING"
    assert tags(second)[KEY] == first.key


@pytest.mark.slow
def test_a_finished_run_is_not_used_again(project: Path) -> None:
    first = ResultRun(parameters(), DIGEST)
    with first.active():
        pass
    second = ResultRun(parameters(), DIGEST)
    assert second.run_id != first.run_id
    assert status(first) == "FINISHED"
    assert second.key == first.key


@pytest.mark.slow
@pytest.mark.parametrize("end", ["finished", "killed"])
def test_the_run_of_a_result_is_found_again(end: str, project: Path) -> None:
    first = ResultRun(parameters(), DIGEST, "weights")
    with first.active():
        first.log_history("unfreeze", rows(2))
    if end == "killed":
        client().set_terminated(first.run_id, "KILLED")
    again = ResultRun(parameters(), DIGEST, "weights")
    assert again.run_id == first.run_id
    with again.active():
        again.log_history("unfreeze", rows(2))
    assert status(again) == "FINISHED"
    assert steps(again, "unfreeze/val_loss") == [0, 1, 2]


def test_another_result_with_the_same_key_is_another_run(project: Path) -> None:
    first = ResultRun(parameters(), DIGEST, "weights")
    second = ResultRun(parameters(), DIGEST, "other weights")  # as on another machine
    assert second.key == first.key
    assert second.run_id != first.run_id
    assert tags(first)[RESULT] == "weights"
    assert tags(second)[RESULT] == "other weights"


@pytest.mark.slow
def test_a_repeated_training_of_a_finished_result_leaves_one_run(project: Path) -> None:
    first = ResultRun(parameters(), DIGEST, "weights")
    with first.active():
        pass
    training = ResultRun(parameters(), DIGEST)
    assert training.run_id != first.run_id
    assert status(first) == "FINISHED"  # as long as it is not known what the training ends with
    assert ResultRun(parameters(), DIGEST, "weights").run_id == first.run_id
    found = client().search_runs([first.experiment_id])
    assert [run.info.run_id for run in found] == [first.run_id]


@pytest.mark.slow
def test_a_repeated_training_on_another_machine_is_not_removed(project: Path) -> None:
    first = ResultRun(parameters(), DIGEST, "weights")
    with first.active():
        pass
    training = ResultRun(parameters(), DIGEST)
    training.tag({PROCESS: f"another-machine:{dead_pid()}"})
    ResultRun(parameters(), DIGEST, "weights")
    assert client().get_run(training.run_id).info.lifecycle_stage == "active"


@pytest.mark.slow
def test_a_result_that_was_committed_later_names_the_commit(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = [("a" * 40, True), ("b" * 40, True), ("c" * 40, False), ("d" * 40, False)]
    named = []
    for state in git:
        monkeypatch.setattr(provenance, "git_state", lambda state=state: state)
        run = ResultRun(parameters(), DIGEST, "weights")
        found = tags(run)
        named.append((found["mlflow.source.git.commit"][0], found["thaw.git_dirty"]))
    assert named == [("a", "true"), ("a", "true"), ("c", "false"), ("c", "false")]
    assert tags(run)["thaw.git_started"] == f"{'a' * 40} with changes"


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_stopped_run_is_taken_up_again(error: type[BaseException], project: Path) -> None:
    first = ResultRun(parameters(), DIGEST)
    with pytest.raises(error), first.stage("unfreeze"):
        raise error
    second = ResultRun(parameters(), DIGEST)
    assert second.run_id == first.run_id
    assert status(second) == "RUNNING"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "values"),
    [("unfreeze", {"lr": 0.5}), ("launch", {"processes": 7}), ("data", {"path": "other"})],
)
def test_other_parameters_make_another_run(
    section: str, values: dict[str, object], project: Path
) -> None:
    first = ResultRun(parameters(), DIGEST)
    other = ResultRun(changed(section, **values), DIGEST)
    assert other.key != first.key
    assert other.run_id != first.run_id


@pytest.mark.slow
def test_another_seed_makes_another_run_of_the_same_weights(project: Path) -> None:
    first = ResultRun(parameters(), DIGEST, "weights")
    other = ResultRun(parameters().model_copy(update={"seed": 7}), DIGEST, "weights")
    assert other.key != first.key
    assert other.run_id != first.run_id


@pytest.mark.slow
def test_a_tag_shows_the_values_that_differ_from_the_defaults(project: Path) -> None:
    run = ResultRun(changed("unfreeze", lr=0.25), DIGEST)
    text = tags(run)["thaw.changed"]
    assert {"data.source=digits", "unfreeze.lr=0.25"} <= set(text.split(", "))
    assert "tracking" not in text


@pytest.mark.slow
def test_parameters_that_cannot_change_a_result_keep_the_run(project: Path) -> None:
    first = ResultRun(parameters(), DIGEST)
    assert ResultRun(changed("resources", workers=3), DIGEST).run_id == first.run_id
    assert ResultRun(parameters(system_metrics_seconds=1.0), DIGEST).run_id == first.run_id


@pytest.mark.slow
def test_other_data_or_code_makes_another_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [ResultRun(parameters(), DIGEST), ResultRun(parameters(), "e" * 64)]
    monkeypatch.setattr(run_identity, "result_code_digest", lambda: "another")
    runs.append(ResultRun(parameters(), DIGEST))
    assert len({run.key for run in runs}) == 3
    assert len({run.run_id for run in runs}) == 3


def test_a_run_keeps_its_parameters_and_what_it_was_made_from(project: Path) -> None:
    run = ResultRun(parameters(), DIGEST)
    kept = client().get_run(run.run_id).data.params
    every = flatten(parameters())
    others = ("promote", "search", "tracking", "resources")  # they change no result
    del every["prepare.shard_mb"]  # it does neither
    assert kept == {k: v for k, v in every.items() if k.split(".")[0] not in others}
    assert kept.keys() < every.keys()
    assert kept["unfreeze.depth"] == str(parameters().unfreeze.depth)
    assert tags(run)["thaw.data_digest"] == DIGEST
    assert tags(run)["thaw.code_digest"] == code_digests.result_code_digest()


def test_the_epochs_of_all_stages_are_one_curve_too_and_logged_once(project: Path) -> None:
    run = ResultRun(parameters(), DIGEST)
    histories = {"warmup_head": rows(2), "unfreeze": rows(3), "fold_bn": rows(0)}
    for _ in range(2):
        run.log_curve(histories)
    found = client().get_metric_history(run.run_id, "all_phases/val_loss")
    expected = [row.val_loss for each in histories.values() for row in each]
    assert [(metric.step, metric.value) for metric in found] == list(enumerate(expected))


@pytest.mark.slow
def test_the_experiment_of_dvc_is_on_the_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ResultRun(parameters(), DIGEST)
    assert "dvc.experiment" not in tags(run)
    monkeypatch.setenv("DVC_EXP_NAME", "leafy-seed")
    assert ResultRun(parameters(), DIGEST).run_id == run.run_id
    assert tags(run)["dvc.experiment"] == "leafy-seed"
    assert tags(ResultRun(changed("unfreeze", lr=0.1), DIGEST))["dvc.experiment"] == "leafy-seed"


def test_a_user_without_a_name_can_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # as in a container that runs under a user id of its own
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert status(ResultRun(parameters(), DIGEST)) == "RUNNING"


# How it ends


def test_a_stage_that_ends_well_leaves_the_run_running(project: Path) -> None:
    run = ResultRun(parameters(), DIGEST)
    with run.stage("unfreeze"):
        assert status(run) == "RUNNING"
    assert status(run) == "RUNNING"
    assert "thaw.stopped_in" not in tags(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt, "KILLED"),
        (SystemExit, "KILLED"),
        (ThawError, "FAILED"),
        (ValueError, "FAILED"),
    ],
)
@pytest.mark.parametrize("active", [False, True], ids=["", "active"])
def test_a_stage_that_does_not_end_well_says_how_and_where(
    error: type[BaseException], expected: str, active: bool, project: Path
) -> None:
    run = ResultRun(parameters(), DIGEST)
    with pytest.raises(error), run.stage("unfreeze"), run.active() if active else nullcontext():
        raise error
    assert status(run) == expected
    assert tags(run)["thaw.stopped_in"] == "unfreeze"
    assert tags(run)["mlflow.note.content"].startswith("unfreeze stopped: ")
    assert ResultRun(parameters(), DIGEST).run_id == run.run_id
    assert "mlflow.note.content" not in tags(run)


@pytest.mark.slow
def test_the_description_of_a_user_survives_stop_continuation_and_result(project: Path) -> None:
    Path("reports").mkdir()
    run = ResultRun(parameters(), DIGEST)
    client().set_tag(run.run_id, "mlflow.note.content", "mine")
    with pytest.raises(ThawError), run.stage("unfreeze"):
        raise ThawError("the disk is full")
    assert tags(run)["mlflow.note.content"].startswith("mine\n\nunfreeze stopped: the disk is")
    run = ResultRun(parameters(), DIGEST)
    assert tags(run)["mlflow.note.content"] == "mine"
    for card in ("**98 %**", "**99 %**"):
        with run.active():
            run.complete(card, parameters().data, DIGEST)
        assert tags(run)["mlflow.note.content"] == f"mine\n\n{card}"


def test_the_last_stage_ends_the_run(project: Path) -> None:
    run = ResultRun(parameters(), DIGEST)
    with run.stage("evaluate"), run.active():
        assert status(run) == "RUNNING"
    assert status(run) == "FINISHED"


@pytest.mark.slow
def test_a_stage_that_is_told_to_stop_ends_killed(project: Path) -> None:
    process = start("wait", DIGEST)
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "interrupted: the same command continues" in err
    assert "Traceback" not in err
    run = client().get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["thaw.stopped_in"] == "unfreeze"


@pytest.mark.slow
def test_a_run_of_a_killed_process_is_marked_at_the_next_start(project: Path) -> None:
    process = start("wait", DIGEST)
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    process.kill()
    process.communicate(timeout=300)
    assert client().get_run(run_id).info.status == "RUNNING"
    ResultRun(parameters(), "another data digest")
    found = client().get_run(run_id)
    assert found.info.status == "KILLED"
    assert "ended without a message" in found.data.tags["mlflow.note.content"]


def test_a_run_of_a_living_process_is_not_marked(project: Path) -> None:
    living = ResultRun(parameters(), DIGEST)
    assert tags(living)[PROCESS].endswith(f":{os.getpid()}")
    ResultRun(parameters(), "another data digest")
    assert status(living) == "RUNNING"


def test_a_run_on_another_machine_is_not_marked(project: Path) -> None:
    remote = ResultRun(parameters(), DIGEST)
    remote.tag({PROCESS: f"another-machine:{dead_pid()}"})
    ResultRun(parameters(), "another data digest")
    assert status(remote) == "RUNNING"


def test_a_run_that_has_ended_keeps_its_status(project: Path) -> None:
    ended = ResultRun(parameters(), DIGEST)
    with ended.active():
        ended.tag({PROCESS: f"{socket.gethostname()}:{dead_pid()}"})
    ResultRun(parameters(), "another data digest")
    assert status(ended) == "FINISHED"


# What it holds


def test_an_epoch_is_logged_under_the_name_of_its_stage(project: Path) -> None:
    run = ResultRun(parameters(), DIGEST)
    run.log_history("unfreeze", rows(2))
    metrics = client().get_run(run.run_id).data.metrics
    assert metrics == {
        "unfreeze/train_loss": 0.5,
        "unfreeze/val_loss": 1.0,
        "unfreeze/val_accuracy": 0.9,
        "unfreeze/lr": 0.01,
    }
    assert steps(run, "unfreeze/val_loss") == [0, 1, 2]
    assert steps(run, "unfreeze/train_loss") == [1, 2]


@pytest.mark.parametrize("resumed", [False, True], ids=["same process", "resumed"])
def test_an_epoch_logged_twice_stands_there_once(resumed: bool, project: Path) -> None:
    run = ResultRun(parameters(), DIGEST)
    run.log_history("unfreeze", rows(2))
    if resumed:
        run = ResultRun(parameters(), DIGEST)
    run.log_history("unfreeze", rows(2)[2:])
    run.log_history("unfreeze", rows(3))
    assert steps(run, "unfreeze/val_loss") == [0, 1, 2, 3]
    assert steps(run, "unfreeze/train_loss") == [1, 2, 3]


def test_stages_do_not_hide_each_others_epochs(project: Path) -> None:
    run = ResultRun(parameters(), DIGEST)
    run.log_history("warmup_head", rows(5))
    run.log_history("unfreeze", rows(2))
    assert steps(run, "unfreeze/lr") == [0, 1, 2]


def test_a_history_longer_than_a_request_is_logged_whole(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    log_batch = MlflowClient.log_batch

    def counting(*arguments: Any, **options: Any) -> None:
        sizes.append(len(options.get("metrics", arguments[2] if len(arguments) > 2 else ())))
        log_batch(*arguments, **options)

    run = ResultRun(parameters(), DIGEST)
    monkeypatch.setattr(MlflowClient, "log_batch", counting)
    run.log_history("unfreeze", rows(300))
    assert steps(run, "unfreeze/val_loss") == list(range(301))
    assert sum(sizes) >= 301
    assert max(sizes) <= 1000  # the limit of a server; SQLite takes more


def test_a_stage_from_the_cache_names_the_run_that_computed_it(project: Path) -> None:
    origin = ResultRun(parameters(), DIGEST)
    origin.tag({"unfreeze.model": "abc"})
    other = ResultRun(changed("evaluate", calibration_bins=3), DIGEST)
    other.copied("unfreeze", "abc")
    assert tags(other)["unfreeze.copied_from"] == origin.run_id
    other.copied("fold_bn", "never seen")
    assert tags(other)["fold_bn.copied_from"] == "unknown (not in this experiment)"


def test_a_stage_that_the_run_computed_itself_is_not_called_copied(project: Path) -> None:
    run = ResultRun(parameters(), DIGEST)
    run.tag({"unfreeze.model": "abc"})
    run.copied("unfreeze", "abc")
    assert "unfreeze.copied_from" not in tags(run)


def test_a_stage_that_wrote_to_no_run_belongs_to_the_run_that_completes_it(project: Path) -> None:
    untracked_models.write("unfreeze", "abc")
    run = ResultRun(parameters(), DIGEST)
    run.copied("unfreeze", "abc")
    assert tags(run)["unfreeze.model"] == "abc"
    assert "unfreeze.copied_from" not in tags(run)
    later = ResultRun(changed("evaluate", calibration_bins=3), DIGEST)
    later.copied("unfreeze", "abc")
    assert tags(later)["unfreeze.copied_from"] == run.run_id


def test_the_note_of_another_model_is_not_taken_for_this_one(project: Path) -> None:
    untracked_models.write("unfreeze", "of another training")
    run = ResultRun(parameters(), DIGEST)
    run.copied("unfreeze", "abc")
    assert "unfreeze.model" not in tags(run)


@pytest.mark.slow
def test_a_working_stage_logs_what_the_machine_does(project: Path) -> None:
    run = ResultRun(parameters(system_metrics_seconds=0.1), DIGEST)
    with run.stage("unfreeze"):
        time.sleep(0.5)
    first = steps(run, "system/cpu_utilization_percentage")
    assert first
    with run.stage("fold_bn"):
        time.sleep(0.5)
    both = steps(run, "system/cpu_utilization_percentage")
    assert len(set(both)) == len(both) > len(first)


@pytest.mark.parametrize(("source", "name"), [("digits", "digits"), ("webdataset", "flowers")])
def test_the_completed_run_names_its_data(source: str, name: str, project: Path) -> None:
    Path("reports").mkdir()
    params = changed("data", source=source, path="data/flowers")
    run = ResultRun(params, DIGEST)
    with run.active():
        run.complete("**99 %** test accuracy", params.data, DIGEST)
    inputs = client().get_run(run.run_id).inputs
    assert inputs is not None
    (data,) = inputs.dataset_inputs
    assert data.dataset.name == name
    assert DIGEST.startswith(data.dataset.digest)
    assert tags(run)["thaw.dvc_lock"] == "none"
    assert tags(run)["mlflow.note.content"] == "**99 %** test accuracy"


def test_a_store_that_is_away_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(result_run, "_PAUSE", 0.05)
    away, here = "http://127.0.0.1:9", f"sqlite:///{folder}/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", away)

    def answer_after(line: str) -> None:
        console.say(line)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", here)

    monkeypatch.setattr(result_run, "say", answer_after)
    run = wait_for_run(parameters(), DIGEST, "weights")
    assert MlflowClient(here).get_run(run.run_id).data.tags[RESULT] == "weights"
    lines = capfd.readouterr().err.splitlines()
    [line] = [line for line in lines if "cannot be used: Connection refused (" in line]
    assert "; waiting for it" in line
    monkeypatch.setattr(result_run, "_WAIT", -1.0)
    with pytest.raises(StoreOutageError, match="cannot be used: Connection refused"):
        wait_for_run(parameters(uri=away), DIGEST, "weights")
