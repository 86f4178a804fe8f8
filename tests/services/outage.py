"""Train while the MLflow server is away, and compare what it has afterwards with the history."""

from __future__ import annotations

import contextlib
import json
import re
import statistics
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from mlflow.tracking import MlflowClient

from thaw.training import history

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.services.colleague import Colleague
    from tools.services.mlflow_server import MlflowServer

_STAGE = "unfreeze"
_MODULE = f"thaw.stages.{_STAGE}"
_EPOCH = re.compile(r"epoch (\d+)/\d+ ")
_REHEARSED = 40  # epochs of a training that shows how many take a second
_KILLED_AT = 5  # epoch
_LONGER = 2.5  # times the outage
_ATTEMPTS = 3  # trainings, until one outlasts the outage


@dataclass(frozen=True)
class Outage:
    """The cost of an outage for a training.

    ``seconds`` of it passed while the stage trained. ``usual_pause`` is the median of the seconds
    between two epochs with the server, ``longest_pause`` the longest of them without it.
    ``usual_stall`` and ``longest_stall`` are the same for the seconds in which the thread that
    trains waits for something other than a processor. Other work on the machine does not count.
    ``missing`` and ``wrong`` count the points that MLflow does not have afterwards, and those that
    it has twice or with another value.
    """

    seconds: float
    usual_pause: float
    longest_pause: float
    usual_stall: float
    longest_stall: float
    points: int
    missing: int
    wrong: int


def train_through_outage(project: Colleague, server: MlflowServer, seconds: float) -> Outage:
    """Train ``project`` with `dvc repro`; kill ``server`` for ``seconds`` while a stage trains.

    The stage is to train about 2.5 times as long. The rehearsal tells how many epochs that takes.
    Without the work of the server beside it the stage can be several times as fast: a training
    that ends before the server is back is repeated with more epochs. The server runs again
    afterwards.
    """
    project.set(unfreeze__epochs=_REHEARSED, unfreeze__patience=_REHEARSED)
    project.run("dvc", "repro", "warmup_head")
    rehearsal = list(pairwise(_epochs(project)))
    usual = statistics.median(second.time - first.time for first, second in rehearsal)
    usual_stall = statistics.median(second.waited - first.waited for first, second in rehearsal)
    epochs = _REHEARSED + int(_LONGER * seconds / usual)
    for _ in range(_ATTEMPTS):
        ends = _train_while_away(server, seconds, project, epochs)
        lasted = ends[-1].time - ends[0].time
        if lasted >= seconds:
            break
        epochs = int(epochs * _LONGER * seconds / lasted)
    within = [(a, b) for a, b in pairwise(ends) if a.time < ends[0].time + seconds]
    project.run("dvc", "repro")
    return Outage(
        min(seconds, lasted),
        usual,
        max(b.time - a.time for a, b in within),
        usual_stall,
        max(b.waited - a.waited for a, b in within),
        *_compared(project),
    )


def _train_while_away(
    server: MlflowServer, seconds: float, project: Colleague, epochs: int
) -> list[_EpochEnd]:
    """Kill ``server`` for ``seconds`` at an epoch of the stage; return the ends from there on."""
    project.set(unfreeze__epochs=epochs, unfreeze__patience=epochs)
    away = threading.Thread(target=_away, args=(server, seconds))
    ends: list[_EpochEnd] = []
    for end in _epochs(project):
        ends.append(end)
        if len(ends) == _KILLED_AT:
            away.start()
    away.join()
    return ends[_KILLED_AT - 1 :]


def _away(server: MlflowServer, seconds: float) -> None:
    server.kill()
    time.sleep(seconds)
    server.start()


@dataclass(frozen=True)
class _EpochEnd:
    """The ``time`` of the end of an epoch, and the seconds the stage has ``waited`` until then."""

    time: float
    waited: float


def _epochs(project: Colleague) -> Iterator[_EpochEnd]:
    """Run the stage; yield the end of each epoch."""
    process = project.start("dvc", "repro", _STAGE)
    assert process.stdout is not None
    stage = None
    for line in process.stdout:
        project.output += line
        if _EPOCH.search(line):
            stage = stage or _stage_process(process.pid)
            with contextlib.suppress(OSError):  # the stage has ended before its line was read
                now = time.monotonic()
                yield _EpochEnd(now, now - _busy_seconds(stage))
    assert process.wait() == 0, project.output[-3000:]


def _stage_process(pipeline: int) -> int:
    """Return the process below ``pipeline`` that trains."""
    children = psutil.Process(pipeline).children(recursive=True)
    return next(child.pid for child in children if _MODULE in child.cmdline())


def _busy_seconds(process: int) -> float:
    """Return the seconds in which the main thread of ``process`` ran or waited for a processor."""
    ran, queued, _ = Path(f"/proc/{process}/schedstat").read_text().split()
    return (int(ran) + int(queued)) / 1e9


def _compared(project: Colleague) -> tuple[int, int, int]:
    """Return the number of points in the history of the stage, of missing and of wrong ones."""
    rows = history.read(project.folder / "reports" / _STAGE / "history.csv")
    columns: dict[str, Callable[[history.EpochRow], float | None]] = {
        "train_loss": lambda row: row.train_loss,
        "val_loss": lambda row: row.val_loss,
        "val_accuracy": lambda row: row.val_accuracy,
        "lr": lambda row: row.lr,
    }
    client = MlflowClient()
    run = client.get_run(_run_id(project))
    points = missing = wrong = 0
    for name, value_of in columns.items():
        expected = {row.epoch: value for row in rows if (value := value_of(row)) is not None}
        logged = client.get_metric_history(run.info.run_id, f"{_STAGE}/{name}")
        found = {metric.step: metric.value for metric in logged}
        points += len(expected)
        missing += len(expected.keys() - found.keys())
        wrong += len(logged) - len(found)
        wrong += sum(abs(found.get(step, value) - value) > 1e-9 for step, value in expected.items())
    return points, missing, wrong


def _run_id(project: Colleague) -> str:
    registered = project.folder / "reports" / "evaluate" / "registered.json"
    return str(json.loads(registered.read_text())["run_id"])
