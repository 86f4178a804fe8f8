"""Register and promote in a process that kills itself at one of its transactions."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import mlflow
from sqlalchemy import event
from sqlalchemy.orm import Session

from tests.fork_server import fork_server
from tests.registry.served import image
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.model.sealed_files import sealed_digest
from thaw.registry.ledger import Ledger
from thaw.registry.ledger_rows import Decision
from thaw.registry.register import ModelRecord, register
from thaw.tracking.result_run import ResultRun

NAME = "classifier"


def evaluate(model: str, data: str, name: str = NAME) -> None:
    """Do what the stage evaluate does with the tracking server and the registry."""
    params = load(Params)
    digest = sealed_digest(Path(model))
    tracked = ResultRun(params, data, digest)
    with tracked.stage("evaluate"), tracked.active():
        tracked.complete("a note", params.data, data)
        register(name, Path(model), ModelRecord(digest, {"accuracy": 0.5}), image())


def promote(version: int, model: str) -> None:
    """Move the champion alias to ``version``, unless an earlier attempt did."""
    ledger = Ledger(mlflow.MlflowClient(), NAME)
    rows, current = ledger.complete(), ledger.current_version()
    if current != version:
        digest = sealed_digest(Path(model))
        ledger.record(Decision("promotion", current, version, current, model=digest), rows)


def in_a_process(folder: Path, kill_at: int | None, step: Any, *arguments: Any) -> int:
    """Run ``step`` in ``folder`` in a new process; return its exit code, -9 if it was killed.

    It is killed before transaction number ``kill_at`` ends, counted from 0; odd numbers are after
    the commit, even ones before it.
    """
    child = fork_server().Process(target=_run, args=(str(folder), kill_at, step, arguments))
    child.start()
    child.join(120)
    assert child.exitcode is not None, "the process hangs"
    return child.exitcode


def _run(folder: str, kill_at: int | None, step: Any, arguments: tuple[Any, ...]) -> None:
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = ""
    left = [kill_at]

    def count(_: Session) -> None:
        if left[0] is None:
            return
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    with contextlib.redirect_stderr(None):
        from thaw.tracking.store import connect

        connect(load(Params).tracking)  # reading what is there is not a kill point
        event.listen(Session, "before_commit", count)
        event.listen(Session, "after_commit", count)
        step(*arguments)
