"""What trains: a plan says it once, for parameters, running statistics and modes alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from thaw.errors import ThawError
from thaw.model.batchnorm import fold_all

if TYPE_CHECKING:
    from thaw.model.blocks import Classifier

BatchNormPolicy = Literal["train", "frozen", "affine"]


@dataclass(frozen=True)
class Plan:
    """The blocks that train (the head always does) and what becomes of their BatchNorm.

    | ``batch_norm`` | affine part trains | statistics updated | what normalises |
    |---|---|---|---|
    | ``train`` | yes | yes | the batch |
    | ``frozen`` | yes | no | the running statistics |
    | ``affine`` | yes | there are none | nothing: they are folded into the affine part |

    In a frozen block nothing trains, no statistic moves, and the running statistics normalise.
    """

    trainable: frozenset[int]
    blocks: int
    batch_norm: BatchNormPolicy = "frozen"

    @property
    def cut(self) -> int:
        """The first block that trains, or ``blocks`` where none does: all below it is fixed."""
        return min(self.trainable, default=self.blocks)


def last_blocks(depth: int, blocks: int, batch_norm: BatchNormPolicy = "frozen") -> Plan:
    """The last ``depth`` of ``blocks`` train: 0 is the head alone, ``blocks`` is everything.

    Raises:
        ThawError: ``depth`` is larger than the backbone.
    """
    if depth > blocks:
        raise ThawError(
            f"params.yaml: unfreeze.depth: {depth} is more than the backbone's {blocks} blocks"
        )
    return Plan(frozenset(range(blocks - depth, blocks)), blocks, batch_norm)


def apply(classifier: Classifier, plan: Plan) -> None:
    """Freeze and unfreeze as ``plan`` says, in place; do this before Accelerate's ``prepare``.

    Under DistributedDataParallel a later change is silently wrong: gradients would
    differ from rank to rank.
    """
    if plan.blocks != len(classifier.blocks):
        raise ValueError(f"plan for {plan.blocks} blocks, model of {len(classifier.blocks)}")
    classifier.plan = plan
    classifier.requires_grad_(requires_grad=False)
    for index in sorted(plan.trainable):
        if plan.batch_norm == "affine":
            fold_all(classifier.blocks[index])
        classifier.blocks[index].requires_grad_(requires_grad=True)
    classifier.head.requires_grad_(requires_grad=True)
    classifier.train(classifier.training)
