"""warmup_head: a new head on the frozen backbone, so that its first gradients wreck nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from thaw.config import Backbone, Head, WarmupHead
from thaw.data.transforms import Preprocessing
from thaw.model import head, zoo
from thaw.model.blocks import Classifier
from thaw.model.directory import Parent, Spec
from thaw.model.freeze import last_blocks
from thaw.process import run_main
from thaw.stages.entry import TrainingInputs, Work, training

if TYPE_CHECKING:
    from thaw.training.loop import Progress


class Inputs(TrainingInputs):
    """What this stage reads from ``params.yaml``."""

    backbone: Backbone
    head: Head
    warmup_head: WarmupHead


def build(work: Work[Inputs]) -> tuple[Classifier, Spec]:
    """The pretrained backbone with a new head, and its description."""
    inputs, classes = work.config, work.data.manifest.classes
    backbone, digest = zoo.load(inputs.backbone.name, inputs.backbone.weights)
    top = head.build(inputs.head, backbone.features, len(classes), inputs.seed)
    classifier = Classifier(backbone.blocks, backbone.pool, top)
    settings = work.data.store.settings
    preprocessing = Preprocessing(
        short_side=int(settings["short_side"]),
        max_megapixels=settings["max_megapixels"],
        image_size=inputs.backbone.image_size,
        crop_pct=inputs.backbone.crop_pct,
        interpolation=backbone.interpolation,
        mean=backbone.mean,
        std=backbone.std,
    )
    spec = Spec(
        backbone=backbone.name,
        head=inputs.head,
        classes=classes,
        preprocessing=preprocessing,
        parents=[Parent(stage="backbone", digest=digest)],
    )
    return classifier.to(memory_format=torch.channels_last), spec


def run(work: Work[Inputs], classifier: Classifier, spec: Spec) -> Progress:
    """Train the head alone, in place, on features that are computed once."""
    plan = last_blocks(0, len(classifier.blocks))
    return work.train(classifier, spec.preprocessing, plan, work.config.warmup_head)


def main() -> None:
    """Build, run, write the model directory and the history."""
    with training("warmup_head", Inputs) as work:
        classifier, spec = build(work)
        progress = run(work, classifier, spec)
        work.finish(work.save_model(classifier, spec), progress, {})


if __name__ == "__main__":
    run_main(main)
