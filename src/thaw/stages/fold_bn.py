"""fold_bn: BatchNorm -> trainable affine map -> merged into the convolutions, with the proofs."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from thaw.config.data_sections import Augment
from thaw.config.training_sections import FoldBn
from thaw.data.loading import batches, shares
from thaw.errors import ThawError
from thaw.model import batchnorm, directory
from thaw.model.batch_statistics import expected
from thaw.model.drift import Places, Reference, carried
from thaw.model.freeze_plan import chosen_blocks
from thaw.stages.training_stage import TrainingInputs, Work, training
from thaw.system import project_paths
from thaw.system.console import say
from thaw.system.processes import run_main
from thaw.training.bn_recalibration import recalibrate
from thaw.training.precision import strict_float32
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from torch import Tensor

    from thaw.data.loading import ImageSource
    from thaw.model.batch_statistics import Channels
    from thaw.model.classifier import Classifier
    from thaw.model.directory import Spec
    from thaw.training.loop import Progress

_REFERENCE = 1024  # training images that the reference for drift is measured on


class Inputs(TrainingInputs):
    """What this stage reads from ``params.yaml``."""

    augment: Augment
    fold_bn: FoldBn


@strict_float32()
def recalibrated(
    work: Work[Inputs], classifier: Classifier, spec: Spec, val: ImageSource
) -> dict[str, Any]:
    """Estimate the running statistics anew on the training images; kept where that is better."""
    if not work.config.fold_bn.recalibrate or not batchnorm.has_statistics(classifier):
        return {}
    before = copy.deepcopy(classifier.state_dict())
    old = _loss(work, classifier, val, "before recalibration")
    train = work.data.images("train", spec.preprocessing)
    recalibrate(work.runtime, classifier, train, work.config.seed)
    new = _loss(work, classifier, val, "after recalibration")
    is_kept = new < old
    if not is_kept:
        classifier.load_state_dict(before)
    if work.runtime.is_main:
        word = "kept" if is_kept else "dropped"
        say(f"recalibration: validation loss {old:.4f} -> {new:.4f}: {word}")
    return {"recalibration_kept": is_kept, "recalibrated_val_loss": new}


def _loss(work: Work[Inputs], classifier: Classifier, val: ImageSource, what: str) -> float:
    scores = logits(work.runtime, classifier, val, what)
    return float(F.cross_entropy(scores.double(), torch.from_numpy(val.targets)))


@strict_float32()
def fold(work: Work[Inputs], classifier: Classifier, val: ImageSource) -> dict[str, Any]:
    """Turn every BatchNorm into its affine map, in place, and prove that the logits stay."""
    before = logits(work.runtime, classifier, val, "logits before the fold")
    count = batchnorm.fold_all(classifier)
    after = logits(work.runtime, classifier, val, "logits after the fold")
    return {"folded": count, **proof(before, after, work.config.fold_bn.tolerance, "fold")}


def train(work: Work[Inputs], classifier: Classifier, spec: Spec) -> Progress:
    """Train the affine form on, in place: the blocks that ``unfreeze`` trained, and the head."""
    config = work.config.fold_bn
    plan = chosen_blocks(spec.trained, len(classifier.blocks), "affine")
    return work.train(
        classifier,
        spec.preprocessing,
        plan,
        config,
        lr_decay=config.lr_decay,
        augmentation=work.config.augment,
    )


@strict_float32()
def merge(
    work: Work[Inputs], classifier: Classifier, spec: Spec, val: ImageSource, norms: Channels
) -> tuple[Spec, Channels, dict[str, Any]]:
    """Merge every affine map that follows a convolution into it, in place, with the proof.

    ``norms``, what the folded BatchNorms expected, is returned as it is after the merge.
    """
    classifier.eval()
    before = logits(work.runtime, classifier, val, "logits before the merge")
    size = spec.preprocessing.image_size
    example = torch.zeros(1, 3, size, size, device=next(classifier.parameters()).device)
    pairs = batchnorm.merge_pairs(classifier, example)
    kept = len(batchnorm.affine_names(classifier)) - len(pairs)
    norms = carried(norms, classifier, pairs)
    batchnorm.merge(classifier, pairs)
    after = logits(work.runtime, classifier, val, "logits after the merge")
    content: dict[str, Any] = {"merged": len(pairs), "kept_affine": kept}
    content |= proof(before, after, work.config.fold_bn.tolerance, "merge")
    return spec.model_copy(update={"merged": [*spec.merged, *pairs]}), norms, content


@strict_float32()
def reference(
    work: Work[Inputs], classifier: Classifier, spec: Spec, norms: Channels
) -> Reference | None:
    """What passes through the merged form on training images, for drift to be measured against.

    None where no BatchNorm was folded, and in all processes but the first.
    """
    if not spec.folded or not work.runtime.is_main:
        return None
    source = work.data.images("train", spec.preprocessing)
    chosen = np.linspace(0, len(source) - 1, min(_REFERENCE, len(source))).astype(np.int64)
    places = Places.of(spec.folded, spec.merged)
    classifier.eval()
    with places.watched(classifier) as moments, torch.inference_mode():
        for batch in batches(source, shares(chosen, 128), work.runtime.device):
            classifier(batch.inputs)
    return Reference({name: (m.mean, m.std) for name, m in moments.items()}, norms)


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
            f"than fold_bn.tolerance = {tolerance:g}: what the {what} gives was not written"
        )
    return {f"{what}_largest_move": moved, f"{what}_relative_move": relative}


def main() -> None:
    """Fold, train on, write the affine form; merge, write the deployment form."""
    parent = directory.read_spec(project_paths.MODELS / "unfreeze")
    with training("fold_bn", Inputs, parent.digest) as work:
        classifier, spec = directory.load(project_paths.MODELS / "unfreeze")
        val = work.data.images("val", spec.preprocessing)
        content = recalibrated(work, classifier, spec, val)
        norms = expected(classifier)
        content |= fold(work, classifier, val)
        progress = train(work, classifier, spec)
        spec = spec.after("unfreeze", classifier, spec.trained)
        affine = work.save_model(classifier, spec, "affine")
        spec, norms, merged = merge(work, classifier, affine, val, norms)
        kept = reference(work, classifier, spec, norms)
        spec = work.save_model(classifier, spec, "merged", kept)
        if kept:
            merged["shift_of_training"] = kept.shift_of_training
        if work.runtime.is_main:
            say(f"folded {content['folded']} BatchNorms, merged {merged['merged']}")
        work.finish(spec, progress, content | merged)


if __name__ == "__main__":
    run_main(main)
