"""unfreeze: the last blocks and the head train jointly, at a very low learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.config import Augment, Unfreeze
from thaw.console import say
from thaw.model import batchnorm, directory
from thaw.model.directory import Parent
from thaw.model.freeze import apply, last_blocks
from thaw.process import run_main
from thaw.stages import paths
from thaw.stages.entry import TrainingInputs, Work, training
from thaw.training import loop
from thaw.training.activations import sources

if TYPE_CHECKING:
    from thaw.model.blocks import Classifier
    from thaw.model.directory import Spec


class Inputs(TrainingInputs):
    """What this stage reads from ``params.yaml``."""

    augment: Augment
    unfreeze: Unfreeze


def run(work: Work[Inputs], classifier: Classifier, spec: Spec) -> loop.Progress:
    """Train the last ``unfreeze.depth`` blocks and the head, in place.

    The warm-up's model is epoch 0: where no epoch beats it on the validation loss, it stands.
    """
    inputs = work.config
    plan = last_blocks(inputs.unfreeze.depth, len(classifier.blocks), inputs.unfreeze.batch_norm)
    apply(classifier, plan)
    train = work.data.images("train", spec.preprocessing, inputs.seed, inputs.augment)
    val = work.data.images("val", spec.preprocessing)
    at_cut = sources(work.runtime, classifier, train, val, plan.cut, work.scratch)
    return loop.fit(
        work.runtime,
        classifier,
        *at_cut.pair,
        inputs.unfreeze,
        seed=inputs.seed,
        lr_decay=inputs.unfreeze.lr_decay,
        cut=at_cut.cut,
        checkpoints=work.checkpoints,
        log=work.log,
    )


def main() -> None:
    """Load the warm-up's model, run, write the model directory and the history."""
    parent = directory.read_spec(paths.MODELS / "warmup_head")
    with training("unfreeze", Inputs, parent.digest) as work:
        classifier, spec = directory.load(paths.MODELS / "warmup_head")
        progress = run(work, classifier, spec)
        stands = progress.best_epoch == 0
        if stands and work.runtime.is_main:
            say("no epoch beat the warm-up's model on the validation loss: it stands")
        spec = spec.model_copy(
            update={
                "depth": work.config.unfreeze.depth,
                "folded": batchnorm.affine_names(classifier),
                "parents": [*spec.parents, Parent(stage="warmup_head", digest=spec.digest)],
            }
        )
        spec = work.save_model(classifier, spec)
        work.finish(spec, progress, {"warmup_head_stands": stands})


if __name__ == "__main__":
    run_main(main)
