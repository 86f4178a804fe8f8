from __future__ import annotations

import os
import signal

import pytest
from mlflow.tracking import MlflowClient

from tests import kill_in_registry
from tests.forks import in_child


@pytest.mark.parametrize(("when", "calls"), [("before", 0), ("after", 1)])
def test_the_process_is_killed_at_the_call(
    when: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    killed: list[int] = []
    monkeypatch.setattr(MlflowClient, "set_terminated", lambda _, run: called.append(run))
    monkeypatch.setattr(os, "killpg", lambda _, number: killed.append(number))
    kill_in_registry.install(f"{when} set_terminated")
    MlflowClient.set_terminated(None, "run")  # type: ignore[arg-type]
    assert len(called) == calls
    assert killed == [signal.SIGKILL]


def test_a_child_that_is_killed_returns_nothing() -> None:
    assert in_child(lambda: os.kill(os.getpid(), signal.SIGKILL)) is None
    assert in_child(lambda: 3) == 3
