"""Trials a minute of a search whose workers share one device: which number of them is fastest.

The trials train the default digits with another learning rate each, so that all take the same time.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from benchmarks.gpu.measurement import Figure
from benchmarks.gpu.pipelines import TINY
from benchmarks.gpu.projects import command, environment, make_project, run_stages, working_in
from thaw.search.commands import find
from thaw.system.project_paths import PREPARED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from optuna.trial import FrozenTrial

    from benchmarks.gpu.measurement import Setting

NUMBERS = (1, 2, 3)  # of workers on the device
_VALUES: dict[str, Any] = {
    "search.space": {"unfreeze.lr": {"low": 0.0001, "high": 0.001, "log": True}},
    "search.pruner": "none", "search.confirm_seeds": 0, "unfreeze.patience": 1000,
}  # fmt: skip
_STUDY = "benchmark"
_LAST = 15  # lines of the output of a search that failed


def rows(setting: Setting) -> Iterator[Figure]:
    """Measure the same search with each number of workers, each in a project of its own."""
    trials = 3 if setting.tiny else 18
    values = {**_VALUES, **TINY, "launch.threads": 1} if setting.tiny else _VALUES
    prepared = make_project(setting.folder / "search", values)
    run_stages(prepared, ["prepare"])
    warm = shutil.copytree(prepared, setting.folder / "search-warm")
    _searched(warm, 1, options(1, setting.device.type))  # writes the bytecode of all imports
    rates = {}
    for number in NUMBERS:
        project = shutil.copytree(prepared, setting.folder / f"search-{number}")
        seconds = _searched(project, trials, options(number, setting.device.type))
        rates[number] = trials_a_minute(_trials_of(project))
        yield Figure(f"search, --per-device {number}", rates[number], "trials/min")
        yield Figure(f"search, --per-device {number}, whole command", seconds, "s")
    best = max(rates, key=lambda number: rates[number])
    note = f"{rates[best] / rates[1]:.2f} of the trials of one worker"
    yield Figure("search, fastest number of --per-device", best, "workers", note=note)


def options(number: int, device: str) -> list[str]:
    """Return the options of ``thaw search`` for ``number`` workers on one device.

    ``--per-device`` counts on GPUs only: without one, ``--workers`` does the same.
    """
    if device == "cuda":
        return ["--device", "cuda:0", "--per-device", str(number)]
    return ["--device", "cpu", "--workers", str(number)]


def trials_a_minute(found: Iterable[FrozenTrial]) -> float:
    """Return the complete trials over the time from the first start to the last end.

    Raises:
        RuntimeError: a trial is not complete.
    """
    trials = list(found)
    starts = [trial.datetime_start for trial in trials if trial.datetime_start]
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not trials or not len(trials) == len(complete) == len(starts) == len(ends):
        raise RuntimeError(f"{len(complete)} of {len(trials)} trials are complete")
    return 60 * len(trials) / (max(ends) - min(starts)).total_seconds()


def _trials_of(project: Path) -> list[FrozenTrial]:
    with working_in(project):
        return find(PREPARED, _STUDY).study.get_trials(deepcopy=False)


def _searched(project: Path, trials: int, workers: list[str]) -> float:
    """Run the search in ``project``; return the seconds of the whole command.

    Raises:
        RuntimeError: it failed.
    """
    begun = time.perf_counter()
    done = subprocess.run(
        command("search", "--trials", str(trials), "--study", _STUDY, *workers),
        cwd=project, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-_LAST:])
        raise RuntimeError(f"thaw search {' '.join(workers)} ended with {done.returncode}: {last}")
    return time.perf_counter() - begun
