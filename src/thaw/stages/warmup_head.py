"""warmup_head: a new head on the frozen backbone, so that its first gradients wreck nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from thaw.config.loading import load
from thaw.config.model_sections import Backbone, Head
from thaw.config.params import Params
from thaw.config.training_sections import WarmupHead
from thaw.model.freeze_plan import last_blocks
from thaw.registry.starting_model import begin, parent_of
from thaw.stages.training_stage import TrainingInputs, Work, training
from thaw.system.processes import run_main
from thaw.training import linear_heads
from thaw.training.history import Row
from thaw.training.layerwise_pretraining import pretrain
from thaw.training.loop import Progress
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from thaw.data.loading import Source
    from thaw.model.classifier import Classifier
    from thaw.model.directory import Spec


class Inputs(TrainingInputs):
    """What this stage reads from ``params.yaml``."""

    backbone: Backbone
    head: Head
    warmup_head: WarmupHead


def build(work: Work[Inputs], parent: str) -> tuple[Classifier, Spec]:
    """The backbone with a new head, and its description; ``parent`` is a registered version."""
    classifier, spec = begin(work.params, work.config.head, work.data, parent)
    if epochs := work.config.backbone.layerwise_epochs:
        source = work.data.images("train", spec.preprocessing)
        pretrain(work.runtime, classifier.blocks, source, epochs, work.config.seed)
    return classifier, spec


def run(work: Work[Inputs], classifier: Classifier, spec: Spec) -> Progress:
    """Train the head alone, in place, on features that are computed once."""
    settings = work.config.warmup_head
    plan = last_blocks(0, len(classifier.blocks))
    if settings.fit == "gradient":
        return work.train(classifier, spec.preprocessing, plan, settings)
    pair = work.inputs(classifier, spec.preprocessing, plan).pair
    balanced = work.config.regularize.class_weights == "balanced"
    rows = [_row(work, classifier, pair, 0)]
    linear_heads.fit_head(
        classifier.head, settings.fit, *pair, balanced=balanced, show=work.runtime.is_main
    )
    rows.append(_row(work, classifier, pair, 1))
    for row in rows:
        work.log(row)
    return Progress(epoch=1, best_epoch=1, history=rows)


def _row(
    work: Work[Inputs],
    classifier: Classifier,
    pair: tuple[Source, Source],
    epoch: int,
) -> Row:
    """The head as it stands: its losses and its validation accuracy."""
    train, val = (logits(work.runtime, classifier.head, source, "head") for source in pair)
    targets = [torch.from_numpy(source.targets) for source in pair]
    return Row(
        epoch=epoch,
        train_loss=float(F.cross_entropy(train.double(), targets[0])) if epoch else None,
        val_loss=float(F.cross_entropy(val.double(), targets[1])),
        val_accuracy=float(np.mean(val.argmax(1).numpy() == pair[1].targets)),
        lr=0.0,
    )


def main() -> None:
    """Build, run, write the model directory and the history."""
    parent = parent_of(load(Params))
    with training("warmup_head", Inputs, parent) as work:
        classifier, spec = build(work, parent)
        progress = run(work, classifier, spec)
        work.finish(work.save_model(classifier, spec), progress, {})


if __name__ == "__main__":
    run_main(main)
