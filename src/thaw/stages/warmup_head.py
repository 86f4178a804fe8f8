"""warmup_head: a new head on the frozen backbone, so that its first gradients wreck nothing."""

from __future__ import annotations

import torch

from thaw.config import Backbone, Head, WarmupHead
from thaw.data.transforms import Preprocessing
from thaw.model import head, zoo
from thaw.model.blocks import Classifier
from thaw.model.directory import Parent, Spec
from thaw.model.freeze import apply, last_blocks
from thaw.process import run_main
from thaw.stages.entry import TrainingInputs, Work, training
from thaw.training import loop
from thaw.training.activations import sources


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


def run(work: Work[Inputs], classifier: Classifier, spec: Spec) -> loop.Progress:
    """Train the head alone, in place, on features that are computed once."""
    inputs = work.config
    count = len(classifier.blocks)
    apply(classifier, last_blocks(0, count))
    train = work.data.images("train", spec.preprocessing)
    val = work.data.images("val", spec.preprocessing)
    at_cut = sources(work.runtime, classifier, train, val, count, work.scratch)
    return loop.fit(
        work.runtime,
        classifier,
        *at_cut.pair,
        inputs.warmup_head,
        seed=inputs.seed,
        lr_decay=1.0,
        cut=at_cut.cut,
        checkpoints=work.checkpoints,
        log=work.log,
    )


def main() -> None:
    """Build, run, write the model directory and the history."""
    with training("warmup_head", Inputs) as work:
        classifier, spec = build(work)
        progress = run(work, classifier, spec)
        work.finish(work.save_model(classifier, spec), progress, {})


if __name__ == "__main__":
    run_main(main)
