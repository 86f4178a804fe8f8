from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

import pytest

from thaw.errors import ThawError
from thaw.tracking import run_owner
from thaw.tracking.run_owner import (
    DESCRIPTION,
    PROCESS,
    STOPPED_IN,
    is_dead,
    noting_failure,
    stop_tags,
    this_process,
    user,
)


def test_the_current_process_is_not_dead() -> None:
    assert re.fullmatch(rf"{socket.gethostname()}/[0-9a-f]{{8}}:{os.getpid()}", this_process())
    assert not is_dead({PROCESS: this_process()})


def test_a_process_of_another_container_with_this_host_name_is_not_dead() -> None:
    code = "from thaw.tracking.run_owner import this_process; print(this_process())"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no new namespace of process ids: {done.stderr}")
    tag = done.stdout.strip()
    assert tag.startswith(f"{socket.gethostname()}/")
    assert not is_dead({PROCESS: f"{tag.rpartition(':')[0]}:999999999"})


def test_an_ended_process_of_this_machine_is_dead() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert is_dead({PROCESS: f"{this_process().rpartition(':')[0]}:{process.pid}"})
    assert is_dead({PROCESS: f"{socket.gethostname()}:{process.pid}"})  # of an earlier version
    assert not is_dead({PROCESS: f"another-machine:{process.pid}"})


@pytest.mark.parametrize("tag", ["", ":", ":x", ":-1", ":1.5", ":" + "9" * 30, ":" + "9" * 5000])
def test_a_run_whose_tag_names_no_process_is_not_dead(tag: str) -> None:
    assert not is_dead({PROCESS: f"{socket.gethostname()}{tag}"})
    assert not is_dead({})


def test_a_user_id_without_a_name_is_used_as_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert user() == "54321"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), ("KILLED", "interrupted")),
        (SystemExit(), ("KILLED", "interrupted")),
        (ValueError("internal"), ("FAILED", "ValueError")),
        (ThawError("the disk is full"), ("FAILED", "the disk is full")),
    ],
)
def test_status_and_reason_of_a_failure_are_noted_and_the_error_goes_on(
    error: BaseException, status: tuple[str, str]
) -> None:
    noted: list[tuple[str, ...]] = []
    with pytest.raises(type(error)), noting_failure(lambda *failure: noted.append(failure)):
        raise error
    assert noted == [status]


def test_the_description_of_a_stopped_run_says_where_why_and_what_next() -> None:
    tags = stop_tags("unfreeze", "the disk is full")
    assert tags[STOPPED_IN] == "unfreeze"
    assert tags[DESCRIPTION].startswith("unfreeze stopped: the disk is full")
    assert "`dvc repro` continues" in tags[DESCRIPTION]


def test_nothing_is_noted_of_a_block_that_ends_well() -> None:
    noted: list[tuple[str, ...]] = []
    with noting_failure(lambda *failure: noted.append(failure)):
        pass
    assert noted == []


def test_the_account_of_a_server_is_the_one_that_mlflow_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    monkeypatch.setattr("mlflow.utils.credentials._get_credentials_path", lambda: "no-such-file")
    assert run_owner.server_account("https://mlflow.example.org") == ""  # MLflow sends neither
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    assert run_owner.server_account("https://mlflow.example.org") == "ada"
    assert run_owner.server_account("sqlite:///mlflow.db") == ""
