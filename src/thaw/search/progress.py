"""Progress of a study: trials that have ended, the time of a trial, and the remaining time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from optuna.trial import TrialState
from rich.progress_bar import ProgressBar
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.trial import FrozenTrial

_BAR_WIDTH = 20
_WITH_RESULT = (TrialState.COMPLETE, TrialState.PRUNED)
_LEFT = (TrialState.RUNNING, TrialState.WAITING)


@dataclass(frozen=True)
class StudyProgress:
    """``done`` of ``total`` trials.

    ``mean_seconds`` is the mean time of a trial, and ``remaining`` the estimated time in seconds
    until all have ended. Both are None as long as neither these trials nor earlier ones have a
    result.
    """

    done: int
    total: int
    mean_seconds: float | None
    remaining: float | None

    @property
    def text(self) -> str:
        """Return the numbers as words: "4 of 20 trials, 12.5 s each, about 3 min left"."""
        counted = f"{self.done} of {self.total} trials"
        if self.mean_seconds is None or self.remaining is None:
            return counted
        return f"{counted}, {self.mean_seconds:.1f} s each, about {_duration(self.remaining)} left"

    def bar(self, description: str) -> Table:
        """Return a line with a bar, for a terminal."""
        line = Table.grid(padding=(0, 1))
        line.add_row(description, ProgressBar(self.total, self.done, width=_BAR_WIDTH), self.text)
        return line


def progress_of(
    latest: Sequence[FrozenTrial],
    total: int,
    workers: int,
    *,
    earlier: Sequence[FrozenTrial] = (),
    now: datetime | None = None,
) -> StudyProgress:
    """Return the progress to ``total`` trials with ``workers`` on this machine.

    ``latest`` has each trial once, as its latest attempt. Times are those that the storage has of
    each trial, so that they are known at once when a search continues, and count the trials of
    other machines. Before a trial has ended, they are those of the trials ``earlier``.
    """
    now = now or datetime.now()  # Optuna stores local times, without a zone
    total = max(total, len(latest))
    left = [trial for trial in latest if trial.state in _LEFT]
    done = len(latest) - len(left)
    seconds = _mean_seconds(latest) or _mean_seconds(earlier)
    if seconds is None:
        return StudyProgress(done, total, None, None)
    running = [_seconds(trial, now) for trial in left if trial.state == TrialState.RUNNING]
    work = sum(max(0.0, seconds - each) for each in running)
    work += seconds * (total - done - len(running))
    at_once = max(1, min(total - done, max(workers, len(running))))
    return StudyProgress(done, total, seconds, work / at_once)


def _mean_seconds(trials: Sequence[FrozenTrial]) -> float | None:
    """Return the mean time of the trials with a result, pruned ones included."""
    found = [
        _seconds(trial, trial.datetime_complete)
        for trial in trials
        if trial.state in _WITH_RESULT and trial.datetime_complete
    ]
    return sum(found) / len(found) if found else None


def _seconds(trial: FrozenTrial, end: datetime) -> float:
    if trial.datetime_start is None:
        return 0.0
    # A machine in another time zone may have started it "later".
    return max(0.0, (end - trial.datetime_start).total_seconds())


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
