"""fold_bn: BatchNorm -> trainable affine map -> merged into the convolutions, with the proofs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from thaw.config import Augment, FoldBn
from thaw.console import say
from thaw.errors import ThawError
from thaw.model import batchnorm, directory
from thaw.model.directory import Parent
from thaw.model.freeze import last_blocks
from thaw.process import run_main
from thaw.stages import paths
from thaw.stages.entry import TrainingInputs, Work, training
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from torch import Tensor

    from thaw.data.loader import ImageSource
    from thaw.model.blocks import Classifier
    from thaw.model.directory import Spec
    from thaw.training.loop import Progress


class Inputs(TrainingInputs):
    """What this stage reads from ``params.yaml``."""

    augment: Augment
    fold_bn: FoldBn


def fold(work: Work[Inputs], classifier: Classifier, val: ImageSource) -> dict[str, Any]:
    """Turn every BatchNorm into its affine map, in place, and prove that the logits stay."""
    before = logits(work.runtime, classifier, val, "logits before the fold")
    count = batchnorm.fold_all(classifier)
    after = logits(work.runtime, classifier, val, "logits after the fold")
    return {"folded": count, **proof(before, after, work.config.fold_bn.tolerance, "fold")}


def train(work: Work[Inputs], classifier: Classifier, spec: Spec) -> Progress:
    """Train the affine form on, in place: the blocks that ``unfreeze`` trained, and the head."""
    config = work.config.fold_bn
    plan = last_blocks(spec.depth, len(classifier.blocks), "affine")
    return work.train(
        classifier,
        spec.preprocessing,
        plan,
        config,
        lr_decay=config.lr_decay,
        augmentation=work.config.augment,
    )


def merge(
    work: Work[Inputs], classifier: Classifier, spec: Spec, val: ImageSource
) -> tuple[Spec, dict[str, Any]]:
    """Merge every affine map that follows a convolution into it, in place, with the proof."""
    classifier.eval()
    before = logits(work.runtime, classifier, val, "logits before the merge")
    size = spec.preprocessing.image_size
    example = torch.zeros(1, 3, size, size, device=next(classifier.parameters()).device)
    pairs = batchnorm.merge_pairs(classifier, example)
    kept = len(batchnorm.affine_names(classifier)) - len(pairs)
    batchnorm.merge(classifier, pairs)
    after = logits(work.runtime, classifier, val, "logits after the merge")
    content: dict[str, Any] = {"merged": len(pairs), "kept_affine": kept}
    content |= proof(before, after, work.config.fold_bn.tolerance, "merge")
    return spec.model_copy(update={"merged": pairs}), content


def proof(before: Tensor, after: Tensor, tolerance: float, what: str) -> dict[str, float]:
    """The largest move of a logit, over the logits' scale (their largest absolute value).

    Raises:
        ThawError: it is above ``tolerance``.
    """
    scale = float(before.abs().max())
    moved = float((after - before).abs().max())
    # A head that still gives nothing but zeros has no scale; then nothing may move at all.
    relative = moved / scale if scale else moved
    if not relative <= tolerance:
        raise ThawError(
            f"the {what} moved a logit by {moved:.3g}, {relative:.3g} of the logits' scale, more "
            f"than fold_bn.tolerance = {tolerance:g}: nothing was written"
        )
    return {f"{what}_largest_move": moved, f"{what}_relative_move": relative}


def main() -> None:
    """Fold, train on, write the affine form; merge, write the deployment form."""
    parent = directory.read_spec(paths.MODELS / "unfreeze")
    with training("fold_bn", Inputs, parent.digest) as work:
        classifier, spec = directory.load(paths.MODELS / "unfreeze")
        val = work.data.images("val", spec.preprocessing)
        content = fold(work, classifier, val)
        progress = train(work, classifier, spec)
        parents = [*spec.parents, Parent(stage="unfreeze", digest=spec.digest)]
        names = batchnorm.affine_names(classifier)
        spec = spec.model_copy(update={"folded": names, "parents": parents})
        affine = work.save_model(classifier, spec, "affine")
        spec, merged = merge(work, classifier, affine, val)
        spec = work.save_model(classifier, spec, "merged")
        if work.runtime.is_main:
            say(f"folded {content['folded']} BatchNorms, merged {merged['merged']}")
        work.finish(spec, progress, content | merged)


if __name__ == "__main__":
    run_main(main)
