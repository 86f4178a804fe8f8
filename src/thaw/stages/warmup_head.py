"""The stage warmup_head: train a new head on the frozen backbone.

The backbone is frozen so that gradients of the randomly initialised head do not damage its
pretrained weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from thaw.advice.tournament.head_choice import choose_head
from thaw.advice.tournament.stage_choices import HeadMethod, write_head_choice
from thaw.config.loading import load
from thaw.config.parameter_values import with_values
from thaw.config.params import Params
from thaw.config.section import AUTO
from thaw.context import Phase
from thaw.data.pack_resolution import find_enlarged
from thaw.data.split_names import TRAIN
from thaw.evaluation import input_picture
from thaw.model.freeze_plan import last_blocks
from thaw.registry.starting_model import begin, parent_of
from thaw.stages.calibrating import calibrate
from thaw.stages.training_stage import COMMON_SECTIONS, training_stage
from thaw.system import project_paths
from thaw.system.console import warn
from thaw.system.processes import run_main
from thaw.training import linear_heads
from thaw.training.calibration import loss_of_guessing
from thaw.training.history import EpochRow
from thaw.training.layerwise_pretraining import pretrain
from thaw.training.progress import Progress
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from thaw.context import Context
    from thaw.data.prepared import Prepared
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec
    from thaw.stages.training_stage import TrainingStage
    from thaw.training.observer import Observer
    from thaw.training.phase_inputs import PhaseInputs
    from thaw.training.runtime import Runtime

SECTIONS = (*COMMON_SECTIONS, "backbone", "head", "warmup_head")


def build(context: Context, parent: str) -> tuple[Classifier, ModelSpec]:
    """Return the backbone with a new head, and its spec.

    ``parent`` is the registered model version to start from, or "" for a backbone of the zoo.
    """
    params = context.params
    classifier, spec = begin(params, params.head, context.data, parent)
    if epochs := params.backbone.layerwise_epochs:
        source = context.data.images("train", spec.preprocessing)
        pretrain(context.runtime, classifier.blocks, source, epochs, params.seed)
    return classifier, spec


def run(
    context: Context, classifier: Classifier, preprocessing: Preprocessing, observer: Observer
) -> Progress:
    """Train only the head, in place, on features that are computed once."""
    params = context.params
    phase = phase_of(context, classifier, preprocessing)
    fit = params.warmup_head.fit
    if fit == "gradient":
        return context.train(classifier, phase, observer)
    inputs = context.inputs(classifier, phase)
    rows = [_score(context.runtime, classifier, inputs, 0)]
    assert fit != AUTO
    found = linear_heads.fit_head(
        classifier.head,
        fit,
        inputs.pair,
        strengths=linear_heads.strengths(fit, params.warmup_head.strength),
        balanced=params.regularize.class_weights == "balanced",
        show=context.runtime.is_main,
    )
    rows.append(_score(context.runtime, classifier, inputs, 1))
    guessing = loss_of_guessing(len(context.data.manifest.classes))
    if context.runtime.is_main and rows[-1].val_loss > guessing:
        warn(
            f"the fitted head ({fit}, strength {found.strength:g}) has a validation log-loss of "
            f"{rows[-1].val_loss:.3f}, and a head that guesses has {guessing:.3f}: set "
            "warmup_head.strength to auto, or warmup_head.fit to gradient, and look for wrong "
            "labels in the validation split"
        )
    for row in rows:
        observer.on_epoch(row)
    return Progress(epoch=1, best_epoch=1, history=rows)


def phase_of(context: Context, classifier: Classifier, preprocessing: Preprocessing) -> Phase:
    """Return the training phase of the head, above the frozen backbone."""
    plan = last_blocks(0, len(classifier.blocks))
    return Phase(plan, context.params.warmup_head, preprocessing)


def _score(runtime: Runtime, classifier: Classifier, inputs: PhaseInputs, epoch: int) -> EpochRow:
    """Return losses and validation accuracy of the current head as the row of ``epoch``."""
    train, val = (logits(runtime, classifier.head, source, "head") for source in inputs.pair)
    targets = [torch.from_numpy(source.targets) for source in inputs.pair]
    return EpochRow(
        epoch=epoch,
        train_loss=float(F.cross_entropy(train.double(), targets[0])) if epoch else None,
        val_loss=float(F.cross_entropy(val.double(), targets[1])),
        val_accuracy=float(np.mean(val.argmax(1).numpy() == inputs.val.targets)),
        lr=0.0,
    )


def main() -> None:
    """Choose the values ``auto``, build the model, run, and write its directory and the reports."""
    parent = parent_of(load(Params))
    with training_stage("warmup_head", SECTIONS, parent) as stage:
        context = _decided(stage, parent)
        classifier, spec = build(context, parent)
        if context.runtime.is_main:
            _show_input(context.data, spec.preprocessing)
        progress = run(context, classifier, spec.preprocessing, stage.observer)
        phase = phase_of(context, classifier, spec.preprocessing)
        spec, report = calibrate(context, classifier, spec, phase)
        stage.finish(stage.save_model(classifier, spec), progress, report)


def _decided(stage: TrainingStage, parent: str) -> Context:
    """Return the project with the chosen values in place of ``auto``; write the choice."""
    context = stage.context
    choice = choose_head(context, parent)
    params = with_values(context.params, choice.values)
    if context.runtime.is_main:
        choice.report()
        write_head_choice(
            choice, HeadMethod.of(choice, params), project_paths.REPORTS / "warmup_head"
        )
    return replace(context, params=params)


def _show_input(data: Prepared, preprocessing: Preprocessing) -> None:
    """Draw images beside what the network sees of them; warn if the pack lacks detail for it."""
    rows = [row for row in data.manifest.rows if row.split == TRAIN]
    path = project_paths.REPORTS / "warmup_head" / input_picture.INPUTS
    input_picture.draw(rows, data.store, preprocessing, path)
    short_side = int(data.store.settings["short_side"])
    if found := find_enlarged(rows, short_side, preprocessing.resized_size):
        warn(found.warning(input_picture.title(preprocessing)))


if __name__ == "__main__":
    run_main(main)
