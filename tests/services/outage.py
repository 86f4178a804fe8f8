"""Train while the MLflow server is away, and compare what it has afterwards with the history."""

from __future__ import annotations

import json
import re
import statistics
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from mlflow.tracking import MlflowClient

from thaw.training import history

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.services.colleague import Colleague
    from tools.services.mlflow_server import MlflowServer

_STAGE = "unfreeze"
_EPOCH = re.compile(r"epoch (\d+)/\d+ ")
_REHEARSED = 40  # epochs of a training that shows how many take a second
_KILLED_AT = 5  # epoch


@dataclass(frozen=True)
class Outage:
    """The cost of an outage for a training.

    ``seconds`` of it passed while the stage trained. ``usual_pause`` is the median of the seconds
    between two epochs with the server, ``longest_pause`` the longest of them without it.
    ``missing`` and ``wrong`` count the points that MLflow does not have afterwards, and those that
    it has twice or with another value.
    """

    seconds: float
    usual_pause: float
    longest_pause: float
    points: int
    missing: int
    wrong: int


def train_through_outage(project: Colleague, server: MlflowServer, seconds: float) -> Outage:
    """Train ``project`` with `dvc repro`; kill ``server`` for ``seconds`` while a stage trains.

    The stage trains about twice as long. The server runs again afterwards.
    """
    project.set(unfreeze__epochs=_REHEARSED, unfreeze__patience=_REHEARSED)
    project.run("dvc", "repro", "warmup_head")
    rehearsal = list(_epochs(project))
    pauses = [second - first for first, second in pairwise(rehearsal)]
    usual = statistics.median(pauses)
    epochs = _REHEARSED + int(2 * seconds / usual)
    project.set(unfreeze__epochs=epochs, unfreeze__patience=epochs)

    away = threading.Thread(target=_away, args=(server, seconds))
    times: list[float] = []
    for ended in _epochs(project):
        times.append(ended)
        if len(times) == _KILLED_AT:
            killed = ended
            away.start()
    away.join()
    within = [b - a for a, b in pairwise(times) if killed <= a < killed + seconds]
    project.run("dvc", "repro")
    passed = min(seconds, times[-1] - killed)
    return Outage(passed, usual, max(within), *_compared(project))


def _away(server: MlflowServer, seconds: float) -> None:
    server.kill()
    time.sleep(seconds)
    server.start()


def _epochs(project: Colleague) -> Iterator[float]:
    """Run the stage; yield the time at the end of each epoch."""
    process = project.start("dvc", "repro", _STAGE)
    assert process.stdout is not None
    for line in process.stdout:
        project.output += line
        if _EPOCH.search(line):
            yield time.monotonic()
    assert process.wait() == 0, project.output[-3000:]


def _compared(project: Colleague) -> tuple[int, int, int]:
    """Return the number of points in the history of the stage, of missing and of wrong ones."""
    rows = history.read(project.folder / "reports" / _STAGE / "history.csv")
    columns: dict[str, Callable[[history.Row], float | None]] = {
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
