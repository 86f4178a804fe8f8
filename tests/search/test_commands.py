from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from mlflow.tracking import MlflowClient
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.search import project
from thaw.errors import ThawError
from thaw.search import commands, storage, study

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thaw.config.params import Params


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(commands, "facts_of", lambda _: None)
    advised = SimpleNamespace(values={"unfreeze.lr": 0.005})
    monkeypatch.setattr(commands, "advise", lambda _: advised)
    return project.make(tmp_path)


def test_the_advice_is_tried_as_soon_as_there_is_room(params: Params) -> None:
    asked, connected, main = project.new_study(params)
    named = []
    for trials in (1, 1, 2, 50):
        commands._begin(main, connected, asked, project.PREPARED, trials)
        if (taken := study.claim(main, connected, trials)) is not None:
            named.append(taken.user_attrs.get("name"))
    assert named == ["params.yaml", "advice", None]


class BrokenCrew:
    """Workers in whose time the storage breaks."""

    def __init__(self, *_: Any) -> None:
        pass

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        yield

    def is_working(self) -> bool:
        with storage.connect("").engine.begin() as connection:
            connection.execute(text("DROP TABLE trials"))
        return True


def test_a_storage_that_stops_answering_is_one_line_and_ends_the_run(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "Crew", BrokenCrew)
    with pytest.raises(ThawError, match=r"search\.storage: .* stopped answering: ") as raised:
        commands.run(project.PREPARED, 2, 1, "")
    assert "\n" not in str(raised.value)
    (run,) = MlflowClient("sqlite:///mlruns/mlflow.db").search_runs(["1"])
    assert run.info.status == "FAILED"


def test_a_server_that_does_not_give_the_lock_is_one_line() -> None:
    def refused() -> None:
        raise OperationalError("SELECT", {}, Exception("server closed the connection\nat once"))

    gone: Any = SimpleNamespace(
        url="postgresql://me:secret@host/x", engine=SimpleNamespace(begin=refused)
    )
    with (
        pytest.raises(ThawError, match=r"stopped answering: .*closed the connection") as raised,
        storage.alone(gone),
    ):
        pass
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
