"""Apply a freeze plan to a classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.modules.batchnorm import _BatchNorm

from thaw.model.batchnorm import ChannelAffine, has_statistics

if TYPE_CHECKING:
    from torch import nn

    from thaw.model.classifier import Classifier
    from thaw.model.freeze_plan import Plan


def apply_plan(classifier: Classifier, plan: Plan) -> None:
    """Set which parameters of ``classifier`` require gradients, and remember the plan in it.

    ``classifier.train()`` keeps to the plan from then on. Call this before Accelerate's
    ``prepare``: under DistributedDataParallel a later change makes gradients differ between
    processes without an error.

    Raises:
        ValueError: the plan is for another number of blocks, or its policy is ``affine`` and a
            block that trains still has BatchNorm: call ``batchnorm.fold_blocks`` first.
    """
    if plan.blocks != len(classifier.blocks):
        raise ValueError(f"plan for {plan.blocks} blocks, model of {len(classifier.blocks)}")
    trainable = [classifier.blocks[index] for index in sorted(plan.trainable)]
    if plan.batch_norm == "affine" and any(has_statistics(block) for block in trainable):
        raise ValueError("the policy affine needs folded blocks: call fold_blocks first")
    classifier.plan = plan
    classifier.requires_grad_(requires_grad=False)
    for block in trainable:
        block.requires_grad_(requires_grad=True)
        if plan.batch_norm == "fixed":
            _fix_norms(block)
    classifier.head.requires_grad_(requires_grad=True)
    classifier.train(classifier.training)


def _fix_norms(block: nn.Module) -> None:
    """Freeze the affine part of every BatchNorm of ``block``, folded or not."""
    for module in block.modules():
        if isinstance(module, (_BatchNorm, ChannelAffine)):
            module.requires_grad_(requires_grad=False)
