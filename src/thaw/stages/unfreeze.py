"""unfreeze: the last blocks and the head train jointly, at a very low learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.config import Augment, Unfreeze
from thaw.console import say
from thaw.model import batchnorm, directory
from thaw.model.directory import Parent
from thaw.model.freeze import last_blocks
from thaw.process import run_main
from thaw.stages import paths
from thaw.stages.entry import TrainingInputs, Work, training

if TYPE_CHECKING:
    from thaw.model.blocks import Classifier
    from thaw.model.directory import Spec
    from thaw.training.loop import Progress


class Inputs(TrainingInputs):
    """What this stage reads from ``params.yaml``."""

    augment: Augment
    unfreeze: Unfreeze


def run(work: Work[Inputs], classifier: Classifier, spec: Spec) -> Progress:
    """Train the last ``unfreeze.depth`` blocks and the head, in place.

    The warm-up's model is epoch 0: where no epoch beats it on the validation loss, it stands.
    """
    config = work.config.unfreeze
    plan = last_blocks(config.depth, len(classifier.blocks), config.batch_norm)
    return work.train(
        classifier,
        spec.preprocessing,
        plan,
        config,
        lr_decay=config.lr_decay,
        augmentation=work.config.augment,
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
