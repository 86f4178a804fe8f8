"""Open the MLflow store of a project in several processes at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tests.fork_server import fork_server
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.tracking.result_run import ResultRun

if TYPE_CHECKING:
    from pathlib import Path


def open_at_once(folder: Path, count: int) -> list[str]:
    """Log a stage in ``count`` processes of the project ``folder``; return the ids of the runs.

    The processes are forks of one that has imported MLflow, and in which no store is open.
    """
    context = fork_server()
    together, found = context.Barrier(count), context.SimpleQueue()
    processes = [
        context.Process(target=_log_stage, args=(str(folder), number, together, found))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * count
    return [found.get() for _ in processes]


def _log_stage(folder: str, number: int, together: Any, found: Any) -> None:
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = ""
    together.wait(120)
    run = ResultRun(load(Params), str(number))
    with run.stage("unfreeze"):
        found.put(run.run_id)
