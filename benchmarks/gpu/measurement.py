"""The setting of a run of the benchmark for GPUs, and the rows of its table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """The scratch folder and the repetitions of a run, and whether it is a smoke test.

    With ``tiny``, networks, images and numbers of steps are so small that a CPU takes seconds: the
    figures mean nothing then.
    """

    folder: Path
    repeats: int = 3
    tiny: bool = False

    @property
    def device(self) -> torch.device:
        """The first GPU, or the CPU."""
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


@dataclass(frozen=True)
class Figure:
    """A row of the table: a value with its unit, and the value to reach, if there is one.

    ``at_most`` says that a lower value is better. ``note`` says how it was measured. ``group`` is
    the name of its group.
    """

    name: str
    value: float
    unit: str = ""
    target: float | None = None
    at_most: bool = False
    note: str = ""
    group: str = ""

    @property
    def reached(self) -> bool | None:
        """True if the target is reached; None without a target."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


Rows = Callable[[Setting], Iterator[Figure]]


def median_seconds(action: Callable[[], object], repeats: int, warm_up: int = 1) -> float:
    """Return the median time of ``action`` with all its work on the device, in seconds."""
    taken = []
    for number in range(warm_up + repeats):
        _synchronize()
        begun = time.perf_counter()
        action()
        _synchronize()
        if number >= warm_up:
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
