"""Freeze plans: which blocks train, and how their BatchNorm behaves. Pure values, no modules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thaw.literals import BatchNormPolicy


@dataclass(frozen=True)
class Plan:
    """The blocks that train, and the policy for their BatchNorm. The head always trains.

    ``trainable`` are block indices (0 .. ``blocks`` - 1).

    | ``batch_norm`` | affine part trains | statistics updated | what normalises |
    |---|---|---|---|
    | ``train`` | yes | yes | the batch |
    | ``frozen`` | yes | no | the running statistics |
    | ``fixed`` | no | no | the running statistics |
    | ``affine`` | yes | there are none | nothing: they are folded into the affine part |

    In a frozen block nothing trains, no statistic moves, and the running statistics normalise.
    """

    trainable: frozenset[int]
    blocks: int
    batch_norm: BatchNormPolicy = "frozen"

    @property
    def cut(self) -> int:
        """The index of the first block that trains, or ``blocks`` if none does."""
        return min(self.trainable, default=self.blocks)

    @property
    def keeps_statistics(self) -> bool:
        """True if the running statistics of blocks that train do not change and normalise."""
        return self.batch_norm in {"frozen", "fixed"}

    def topmost(self, count: int) -> Plan:
        """Return the plan for only those ``count`` of its blocks that are nearest to the head."""
        ordered = sorted(self.trainable, reverse=True)
        return replace(self, trainable=frozenset(ordered[:count]))


def last_blocks(depth: int, blocks: int, batch_norm: BatchNormPolicy = "frozen") -> Plan:
    """Return the plan that trains the last ``depth`` of ``blocks`` blocks; 0 trains only the head.

    Raises:
        ThawError: ``depth`` is larger than the backbone.
    """
    if depth > blocks:
        raise ThawError(
            f"params.yaml: unfreeze.depth: {depth} is more than the backbone's {blocks} blocks"
        )
    return Plan(frozenset(range(blocks - depth, blocks)), blocks, batch_norm)


def chosen_blocks(
    numbers: Iterable[int], blocks: int, batch_norm: BatchNormPolicy = "frozen"
) -> Plan:
    """Return the plan that trains only the blocks of these ``numbers`` (1 .. ``blocks``).

    Number 1 is the block next to the input.

    Raises:
        ThawError: the backbone has no block of such a number.

    Source: Lee et al. 2023, Surgical Fine-Tuning Improves Adaptation to Distribution Shifts.
    """
    chosen = sorted(set(numbers))
    beyond = [number for number in chosen if not 1 <= number <= blocks]
    if beyond:
        raise ThawError(
            f"params.yaml: unfreeze.blocks: there is no block {beyond[0]}: "
            f"the backbone's are 1 to {blocks}"
        )
    return Plan(frozenset(number - 1 for number in chosen), blocks, batch_norm)
