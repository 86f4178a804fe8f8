"""Ways to fine-tune that are compared with the head alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from thaw.model.freeze_plan import Plan, last_blocks

if TYPE_CHECKING:
    from thaw.config.training_sections import Unfreeze
    from thaw.literals import BatchNormPolicy


@dataclass(frozen=True)
class TrainingCandidate:
    """The last ``depth`` of ``blocks`` blocks train, with the section ``settings``.

    Depth 0 is the head alone, as it was fitted.
    """

    settings: Unfreeze
    depth: int
    blocks: int
    batch_norm: BatchNormPolicy

    @property
    def name(self) -> str:
        """Return a short description."""
        if not self.depth:
            return "head alone"
        what = "all blocks" if self.depth == self.blocks else f"last {self.depth} blocks"
        return f"{what}, lr {self.settings.lr:g}, BatchNorm {self.batch_norm}"

    @property
    def plan(self) -> Plan:
        """Return the freeze plan: the blocks that train, and their BatchNorm policy."""
        return replace(last_blocks(self.depth, self.blocks), batch_norm=self.batch_norm)

    def of(self, epochs: int) -> Unfreeze:
        """Return the settings for a training of ``epochs`` epochs."""
        return self.settings.model_copy(update={"epochs": epochs})

    @property
    def values(self) -> dict[str, Any]:
        """Return the values of the section ``unfreeze`` that differ between candidates."""
        return {
            "depth": self.depth,
            "lr": self.settings.lr,
            "batch_norm": self.batch_norm,
            "epochs": self.settings.epochs,
        }


def head_alone(settings: Unfreeze, blocks: int) -> TrainingCandidate:
    """Return the candidate that trains nothing."""
    nothing = settings.model_copy(update={"depth": 0, "epochs": 0})
    return TrainingCandidate(nothing, 0, blocks, "frozen")


def trainings(settings: Unfreeze, blocks: int) -> list[TrainingCandidate]:
    """Return the ways to train some of ``blocks`` blocks, without duplicates.

    A rate or policy in ``settings`` that differs from the default is the only one.
    """
    ways: list[tuple[int, float, BatchNormPolicy]] = [
        (blocks, 1e-4, "frozen"),  # gentle: similar data
        (blocks, 1e-3, "train"),  # strong: data that differs from that of the pretraining
        (blocks, 1e-3, "affine"),  # the same without statistics, which may not fit the data
        (-(-blocks // 2), 3e-4, "frozen"),
    ]
    default = type(settings)()
    found: dict[tuple[int, float, BatchNormPolicy], TrainingCandidate] = {}
    for depth, rate, policy in ways:
        chosen = policy if settings.batch_norm == "auto" else settings.batch_norm
        lr = rate if settings.lr == default.lr else settings.lr
        made = settings.model_copy(update={"depth": depth, "lr": lr, "batch_norm": chosen})
        found[depth, lr, chosen] = TrainingCandidate(made, depth, blocks, chosen)
    return list(found.values())
