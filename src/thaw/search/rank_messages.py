"""Messages from the main process of a worker to its other ranks."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from thaw.training.runtime import Runtime


class Verdict(IntEnum):
    """The main process's decision about a trial after an epoch."""

    CONTINUE = 0
    PRUNE = 1
    ABANDON = 2  # the trial was declared stale and another worker has it


def broadcast(runtime: Runtime, message: int = 0) -> int:
    """Return the main process's ``message`` in every rank; all ranks must call this together."""
    mine = message if runtime.is_main else 0
    return int(runtime.sum(torch.tensor(mine, dtype=torch.float64)))
