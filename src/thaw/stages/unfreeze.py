"""The stage unfreeze: train the last blocks and the head together, at a low learning rate."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thaw.advice.auto_values import KeepRule, Resolved, resolve
from thaw.advice.tournament.augmentation_choice import choose_augmentation
from thaw.advice.tournament.stage_choices import read_head_method, write_training_choices
from thaw.advice.tournament.start_head import set_small_head, starts_small
from thaw.advice.tournament.training_choice import (
    choose_training,
    is_chosen_by_training,
)
from thaw.advice.tournament.training_leaderboard import write_leaderboard
from thaw.config.parameter_values import with_values
from thaw.config.section import AUTO
from thaw.context import Phase
from thaw.evaluation.fine_tuning_text import comparison_text
from thaw.model.freeze_plan import last_blocks
from thaw.stages import earlier_models
from thaw.stages.calibrating import calibrate
from thaw.stages.final_training import ALL_IMAGES, fit_start, is_repeated, train_on_all
from thaw.stages.fine_tuning_check import compare_with_head
from thaw.stages.interpolating import interpolate_if_better
from thaw.stages.refitting import is_refitted, refit
from thaw.stages.training_stage import COMMON_SECTIONS, training_stage
from thaw.system import project_paths
from thaw.system.console import say
from thaw.system.processes import run_main
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from thaw.advice.tournament.stage_choices import HeadMethod
    from thaw.advice.tournament.training_leaderboard import TrainingRow
    from thaw.context import Context
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec
    from thaw.stages.training_stage import TrainingStage
    from thaw.training.observer import Observer
    from thaw.training.progress import Progress

SECTIONS = (*COMMON_SECTIONS, "augment", "unfreeze")


def run(
    context: Context,
    classifier: Classifier,
    preprocessing: Preprocessing,
    resolved: Resolved,
    observer: Observer,
) -> Progress:
    """Train the head and the blocks of the resolved plan, in place.

    The model of the head warm-up is epoch 0. It is kept if no epoch has a lower validation loss,
    except in a training that may be dropped. Such a training starts from the small head where
    statistics of the batch or a high rate would lose the fitted one.
    """
    if starts_from_small_head(resolved):
        set_small_head(context, classifier, preprocessing)
    return context.train(classifier, phase_of(context, preprocessing, resolved), observer)


def starts_from_small_head(resolved: Resolved) -> bool:
    """Return whether the training starts from the small head, not from the fitted one."""
    return resolved.keep_rule is not None and starts_small(resolved.plan.batch_norm)


def phase_of(context: Context, preprocessing: Preprocessing, resolved: Resolved) -> Phase:
    """Return the training phase of the resolved plan.

    A training that may be dropped is compared with its start afterwards, by the loss with the
    calibration that is kept. So are its epochs: smoothed labels make the loss of a good epoch high,
    and a temperature repairs that.
    """
    settings, may_be_dropped = resolved.settings, resolved.keep_rule is not None
    return Phase(
        resolved.plan,
        settings,
        preprocessing,
        context.params.augment.fixed(),
        lr_decay=settings.lr_decay,
        gradual_epochs=settings.gradual_epochs,
        keeps_start=not may_be_dropped,
        calibration=context.params.regularize.calibration if may_be_dropped else "off",
    )


def resolved_by(
    stage: TrainingStage, classifier: Classifier, spec: ModelSpec, head: HeadMethod
) -> Resolved:
    """Return the section without ``auto``; write the leaderboard of trainings."""
    context, folder = stage.context, project_paths.REPORTS / "unfreeze"
    rows: list[TrainingRow] = []
    if is_chosen_by_training(context.params, head):
        choice = choose_training(context, classifier, spec, head)
        rows, settings = choice.rows, choice.settings(context.params.unfreeze)
        plan = last_blocks(choice.values["depth"], len(classifier.blocks))
        plan = replace(plan, batch_norm=choice.values["batch_norm"])
        needs_one_error = settings.keep == "if_clearly_better"
        keep_rule = KeepRule(needs_one_error=needs_one_error) if plan.trainable else None
        chosen = {f"unfreeze.{key}": value for key, value in choice.values.items()}
        if plan.trainable and context.params.regularize.label_smoothing == AUTO:
            chosen["regularize.label_smoothing"] = context.regularize(plan).label_smoothing
        resolved = Resolved(settings, plan, {"chosen": choice.name}, keep_rule, chosen)
        if context.runtime.is_main:
            count = quantity(sum(row.epochs > 0 for row in rows), "short training")
            say(f"unfreeze.depth auto: {choice.name} ({count} compared)")
    else:
        resolved = resolve(context, classifier, spec.preprocessing)
    if context.runtime.is_main:
        write_leaderboard(rows, folder)
    return resolved


def _compared(
    context: Context, warm: Classifier, classifier: Classifier, phase: Phase, resolved: Resolved
) -> tuple[bool, dict[str, Any]]:
    """Interpolate with ``warm``; return whether the training is dropped, and the report."""
    report: dict[str, Any] = {}
    if resolved.settings.interpolate == "auto":
        report |= interpolate_if_better(context, copy.deepcopy(warm), classifier, phase)
    if resolved.keep_rule is None:
        return False, report
    needs_one_error = resolved.keep_rule.needs_one_error
    kept, found = compare_with_head(
        context, warm, classifier, phase, needs_one_error=needs_one_error
    )
    if context.runtime.is_main:
        say(f"fine-tuning {'kept' if kept else 'dropped'}: {comparison_text(found)}")
    return not kept, {**report, "fine_tuning": found}


def _why_kept(resolved: Resolved) -> str:
    """Return why the model of the head warm-up is kept, and what to set if that was not meant."""
    if resolved.settings.epochs:
        return "no epoch has a lower validation loss than the head warm-up: its model is kept"
    count = len(resolved.plan.trainable)
    if not count:
        return "no epoch is trained: the model of the head warm-up is kept"
    blocks = "the chosen block" if count == 1 else f"the {count} chosen blocks"
    return (
        f"unfreeze.epochs is 0: no epoch of {blocks} is trained, and the model of the head warm-up "
        "is kept; to train, set it, for example `-S unfreeze.epochs=5`"
    )


def main() -> None:
    """Load the model of the head warm-up, run, and write the model directory and the history."""
    parent = earlier_models.read_spec(project_paths.MODELS / "warmup_head")
    head = read_head_method(project_paths.REPORTS / "warmup_head")
    with training_stage("unfreeze", SECTIONS, parent.digest) as stage:
        context = stage.context
        classifier, spec = earlier_models.load(project_paths.MODELS / "warmup_head")
        chosen = choose_augmentation(
            context,
            classifier,
            spec.preprocessing,
            validation_differs=head.validation_differs,
        )
        if chosen:
            context = replace(context, params=with_values(context.params, chosen))
            stage = replace(stage, context=context)
        resolved = resolved_by(stage, classifier, spec, head)
        if context.runtime.is_main:
            write_training_choices(chosen | resolved.chosen, project_paths.REPORTS / "unfreeze")
        augment = context.params.augment.fixed()
        stage.draw_augmented(spec.preprocessing, augment, "augmented.png")
        progress = run(context, classifier, spec.preprocessing, resolved, stage.observer)
        phase, report = phase_of(context, spec.preprocessing, resolved), dict(resolved.report)
        is_dropped = False
        if progress.best_epoch > 0:
            warm, _ = earlier_models.load(project_paths.MODELS / "warmup_head")
            is_dropped, found = _compared(context, warm, classifier, phase, resolved)
            report |= found
            if is_dropped:
                classifier, progress = warm, replace(progress, best_epoch=0)
        elif context.runtime.is_main:
            say(_why_kept(resolved))
        is_unchanged = progress.best_epoch == 0
        trained = [] if is_dropped else sorted(index + 1 for index in resolved.plan.trainable)
        report = {"warmup_head_stands": is_unchanged, "blocks": trained, **report}
        spec = spec.after("warmup_head", classifier, trained)
        if is_refitted(resolved.settings, head, head_only=is_unchanged):
            spec, found = refit(context, classifier, spec, head, parent.calibration)
            report |= found
        elif is_unchanged and parent.calibration:
            spec = spec.model_copy(update={"calibration": parent.calibration})
        else:
            spec, found = calibrate(context, classifier, spec, phase)
            report |= found
        if is_repeated(resolved.settings, head, progress):
            classifier, _ = earlier_models.load(project_paths.MODELS / "warmup_head")
            fit_start(context, classifier, phase, head, is_small=starts_from_small_head(resolved))
            share = report.get("interpolation", {}).get("share", 1.0)
            observer = stage.repeated_on(ALL_IMAGES)
            report |= train_on_all(context, classifier, phase, observer, share)
        stage.finish(stage.save_model(classifier, spec), progress, report)


if __name__ == "__main__":
    run_main(main)
