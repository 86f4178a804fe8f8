from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlflow.tracking import MlflowClient
from sqlalchemy import text

from tests.search import project
from thaw.errors import ThawError
from thaw.search import applying, commands, storage
from thaw.search.study import find_study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import optuna

    from thaw.config.params import Params


class PoolWithBrokenStorage:
    """Workers during whose run the database loses a table."""

    def __init__(self, *_: Any) -> None:
        pass

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        yield

    def is_running(self) -> bool:
        with storage.connect("").engine.begin() as connection:
            connection.execute(text("DROP TABLE trials"))
        return True


@pytest.mark.usefixtures("store")
def test_a_storage_that_stops_answering_ends_the_run_with_one_line(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "WorkerPool", PoolWithBrokenStorage)
    monkeypatch.setattr(commands, "enqueue_first_trials", lambda *_: None)
    with pytest.raises(ThawError, match=r"search\.storage: .* stopped answering: ") as raised:
        commands.run(project.PREPARED, 2, commands.Workers(1, "cpu"), "")
    assert "\n" not in str(raised.value)
    (run,) = MlflowClient(f"sqlite:///{Path.cwd()}/mlruns/mlflow.db").search_runs(["1"])
    assert run.info.status == "FAILED"


def test_a_study_is_found_by_the_parameters_or_by_its_name(params: Params) -> None:
    search = project.Search(params)
    search.run_all(2)
    for name in ("", search.study.study_name):
        found = commands.find(project.PREPARED, name)
        assert found.study.study_name == search.study.study_name
        assert [trial["number"] for trial in found.content()["trials"]] == [0, 1]
        assert not found.is_interrupted


@pytest.mark.parametrize(
    ("workers", "gpus", "devices", "count"),
    [
        (commands.Workers(), 0, (), 1),
        (commands.Workers(per_device=3), 0, (), 1),
        (commands.Workers(4), 0, (), 4),
        (commands.Workers(), 2, ("0", "1"), 2),
        (commands.Workers(per_device=3), 2, ("0", "1"), 6),
        (commands.Workers(device="cuda"), 2, ("0", "1"), 2),
        (commands.Workers(device="cuda:1", per_device=2), 2, ("1",), 2),
        (commands.Workers(5), 2, ("0", "1"), 5),
        (commands.Workers(device="cpu"), 2, (), 1),
    ],
)
def test_workers_run_on_each_gpu_unless_their_number_or_device_is_given(
    workers: commands.Workers,
    gpus: int,
    devices: tuple[str, ...],
    count: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert workers.devices() == devices
    assert workers.number(len(devices), processes=1) == count


def test_trials_of_several_processes_share_the_gpus_among_fewer_workers() -> None:
    assert commands.Workers().number(4, processes=2) == 2
    assert commands.Workers().number(1, processes=2) == 1


@pytest.mark.parametrize("verb", ["show", "apply"])
def test_a_storage_that_fails_while_a_study_is_looked_up_is_one_line(
    params: Params, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    project.Search(params).run_all(1)

    def find(*arguments: Any) -> optuna.Study:
        with storage.connect("").engine.begin() as connection:
            connection.execute(text("DROP TABLE studies"))
        return find_study(*arguments)

    monkeypatch.setattr(commands if verb == "show" else applying, "find_study", find)
    calls: dict[str, Callable[[], object]] = {
        "show": lambda: commands.find(project.PREPARED, ""),
        "apply": lambda: applying.apply(project.PREPARED, "", None),
    }
    with pytest.raises(ThawError, match=r"^search\.storage: .*no such table: studies"):
        calls[verb]()
