"""Checkpoints of sharded training: each process saves and restores its own part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from thaw.training.checkpoints import KEPT, Checkpoints

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from thaw.training.runtime import Runtime

    Place = tuple[int, int]


class ShardCheckpoints:
    """The checkpoints of all processes of one training, with the interface of ``Checkpoints``.

    Every process has a folder of its own in that of ``whole``. A checkpoint counts if all
    processes have written their part: a process that was killed may miss the newest one. The
    processes train in step, so that none of them is more than one checkpoint ahead.
    """

    def __init__(self, whole: Checkpoints, runtime: Runtime) -> None:
        self._runtime = runtime
        self._own = whole.part(f"{runtime.rank}-of-{runtime.world}")

    def save(self, place: Place, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write this process's part of the checkpoint for ``place`` (epoch, step)."""
        self._own.save(place, tensors, state)

    def latest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return this process's part of the newest checkpoint of which no part is damaged."""
        intact = self._own.intact()
        for place in self._common(list(intact)):
            return intact[place]
        return None

    def _common(self, places: list[Place]) -> list[Place]:
        """Return the places that all processes have, the newest first."""
        world = self._runtime.world
        table = torch.full((world, KEPT, 2), 0, dtype=torch.int64)
        for row, place in enumerate(sorted(places)[-KEPT:]):
            # Plus 1, because 0 stands for no checkpoint.
            table[self._runtime.rank, row] = torch.tensor(place) + 1
        found = self._runtime.sum(table).tolist()
        of_ranks = [{(epoch - 1, step - 1) for epoch, step in rows if epoch} for rows in found]
        return sorted(set.intersection(*of_ranks), reverse=True)
