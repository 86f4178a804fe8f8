"""When a training phase writes its checkpoints, and in which processes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from thaw.training.epoch_loss import READ_EVERY
from thaw.training.shard_checkpoints import ShardCheckpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from thaw.training.checkpoints import Checkpoints
    from thaw.training.runtime import Runtime


class PhaseCheckpoints:
    """The checkpoints of a phase.

    The first process writes them, and all of them read them. In sharded training each process
    writes and reads its own part.
    """

    def __init__(self, runtime: Runtime, checkpoints: Checkpoints | None) -> None:
        """Take the folder of the training; without one, nothing is saved."""
        self._runtime = runtime
        self._stored: Checkpoints | ShardCheckpoints | None = checkpoints
        if checkpoints is not None and runtime.shards:
            self._stored = ShardCheckpoints(checkpoints, runtime)
        self._saved_at = time.monotonic()

    def is_due(self, seconds: float, step: int = 0) -> bool:
        """Return whether ``seconds`` have passed since the last checkpoint, after ``step`` steps.

        In sharded training all processes must save at the same step. They ask the first one,
        and wait for its answer, only where they wait for the device anyway.
        """
        is_late = time.monotonic() - self._saved_at > seconds
        if not self._runtime.shards:
            return is_late
        return step % READ_EVERY == 0 and self._runtime.answer_of_first(is_late)

    def latest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors and the state of the newest checkpoint, or None."""
        return self._stored.latest() if self._stored is not None else None

    def save(
        self,
        place: tuple[int, int],
        tensors: Callable[[], Mapping[str, Tensor]],
        state: Mapping[str, Any],
    ) -> None:
        """Write a checkpoint for ``place`` (epoch, step), if this process writes any."""
        self._saved_at = time.monotonic()
        if self._stored is not None and (self._runtime.is_main or self._runtime.shards):
            self._stored.save(place, tensors(), state)
