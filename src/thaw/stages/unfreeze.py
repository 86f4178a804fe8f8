"""unfreeze: the last blocks and the head train jointly, at a very low learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.advice.auto_values import Resolved, resolve
from thaw.config.data_sections import Augment
from thaw.config.training_sections import Unfreeze
from thaw.model import directory
from thaw.stages.training_stage import TrainingInputs, Work, training
from thaw.system import project_paths
from thaw.system.console import say
from thaw.system.processes import run_main

if TYPE_CHECKING:
    from thaw.model.classifier import Classifier
    from thaw.model.directory import Spec
    from thaw.training.loop import Progress


class Inputs(TrainingInputs):
    """What this stage reads from ``params.yaml``."""

    augment: Augment
    unfreeze: Unfreeze


def resolved_for(work: Work[Inputs], classifier: Classifier, spec: Spec) -> Resolved:
    """What trains and how, with nothing left to ``auto``."""
    return resolve(
        work.runtime,
        classifier,
        work.data,
        spec.preprocessing,
        work.params,
        work.cache(spec.preprocessing),
    )


def run(work: Work[Inputs], classifier: Classifier, spec: Spec, resolved: Resolved) -> Progress:
    """Train what the plan says and the head, in place.

    The warm-up's model is epoch 0: where no epoch beats it on the validation loss, it stands.
    """
    settings = resolved.settings
    return work.train(
        classifier,
        spec.preprocessing,
        resolved.plan,
        settings,
        lr_decay=settings.lr_decay,
        gradual_epochs=settings.gradual_epochs,
        augmentation=work.config.augment,
    )


def main() -> None:
    """Load the warm-up's model, run, write the model directory and the history."""
    parent = directory.read_spec(project_paths.MODELS / "warmup_head")
    with training("unfreeze", Inputs, parent.digest) as work:
        classifier, spec = directory.load(project_paths.MODELS / "warmup_head")
        resolved = resolved_for(work, classifier, spec)
        work.draw(spec.preprocessing, work.config.augment, "augmented.png")
        progress = run(work, classifier, spec, resolved)
        stands = progress.best_epoch == 0
        if stands and work.runtime.is_main:
            say("no epoch beat the warm-up's model on the validation loss: it stands")
        trained = sorted(index + 1 for index in resolved.plan.trainable)
        spec = work.save_model(classifier, spec.after("warmup_head", classifier, trained))
        work.finish(
            spec, progress, {"warmup_head_stands": stands, "blocks": trained, **resolved.report}
        )


if __name__ == "__main__":
    run_main(main)
