"""What trains: a plan says it once, for parameters, running statistics and modes alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from torch.nn.modules.batchnorm import _BatchNorm

from thaw.errors import ThawError
from thaw.model.batchnorm import ChannelAffine, fold_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thaw.model.classifier import Classifier

BatchNormPolicy = Literal["train", "frozen", "fixed", "affine"]


@dataclass(frozen=True)
class Plan:
    """The blocks that train (the head always does) and what becomes of their BatchNorm.

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
        """The first block that trains, or ``blocks`` where none does: all below it is fixed."""
        return min(self.trainable, default=self.blocks)

    @property
    def keeps_statistics(self) -> bool:
        """Whether the running statistics of blocks that train stay, and normalise."""
        return self.batch_norm in {"frozen", "fixed"}

    def topmost(self, count: int) -> Plan:
        """The same for the ``count`` of its blocks that are next to the head."""
        ordered = sorted(self.trainable, reverse=True)
        return replace(self, trainable=frozenset(ordered[:count]))


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


def chosen_blocks(
    numbers: Iterable[int], blocks: int, batch_norm: BatchNormPolicy = "frozen"
) -> Plan:
    """The blocks of these ``numbers`` (1 .. ``blocks``, from the input) train, and no other.

    Surgical fine-tuning (Lee et al. 2023).

    Raises:
        ThawError: the backbone has no block of such a number.
    """
    chosen = sorted(set(numbers))
    beyond = [number for number in chosen if not 1 <= number <= blocks]
    if beyond:
        raise ThawError(
            f"params.yaml: unfreeze.blocks: there is no block {beyond[0]}: "
            f"the backbone's are 1 to {blocks}"
        )
    return Plan(frozenset(number - 1 for number in chosen), blocks, batch_norm)


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
        if plan.batch_norm == "fixed":
            for module in classifier.blocks[index].modules():
                if isinstance(module, (_BatchNorm, ChannelAffine)):  # which a fold left of one
                    module.requires_grad_(requires_grad=False)
    classifier.head.requires_grad_(requires_grad=True)
    classifier.train(classifier.training)
