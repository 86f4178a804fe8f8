"""Run a learning-rate range test of a training stage, for `thaw find-lr`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.advice.auto_values import resolve
from thaw.advice.tournament.stage_choices import read_head_method
from thaw.advice.tournament.training_choice import is_chosen_by_training
from thaw.config.loading import load
from thaw.config.parameter_values import assumed
from thaw.config.params import Params
from thaw.config.section import AUTO
from thaw.context import Phase, open_context
from thaw.errors import ThawError
from thaw.evaluation.lr_range_plot import draw_lr_range
from thaw.model import directory
from thaw.model.freeze_plan import last_blocks
from thaw.model.sealed_files import SPEC
from thaw.registry.starting_model import starting_model
from thaw.system.project_paths import REPORTS
from thaw.training.lr_range_test import find

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from thaw.context import Context
    from thaw.literals import LrTestStage
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

_NO_EPOCHS = (
    "unfreeze trains no epoch (unfreeze.epochs is 0, or unfreeze.depth: auto chose the head alone "
    "for these images): no learning rate has an effect; to try fine-tuning, set both, for example "
    "`unfreeze.depth: 3` and `unfreeze.epochs: 5`"
)
_COMPARED = (
    "params.yaml: unfreeze.depth is auto: the stage unfreeze compares trainings and chooses depth "
    "and learning rate together; `thaw advise --apply` writes the choice into params.yaml, and "
    "`thaw find-lr` then tests its rates"
)


@dataclass(frozen=True)
class FoundRates:
    """The learning rate of ``params.yaml``, the two suggestions, and the picture of the test."""

    phase: LrTestStage
    present: float
    steepest: float
    tenth: float
    picture: Path


def find_rates(
    phase: LrTestStage,
    prepared: Path,
    models: Path,
    picture: Path,
    device: torch.device | None = None,
) -> FoundRates:
    """Run the test of ``phase`` from its initial weights, draw it, and return the suggestions.

    Raises:
        ThawError: the phase is unfreeze, and the stage warmup_head has not run yet; or the rate of
            ``params.yaml`` has no effect, because the phase trains nothing or chooses its rate.
    """
    params = assumed(load(Params))
    if phase == "warmup_head" and not _is_trained(params):
        raise ThawError(
            f"warmup_head.fit is {params.warmup_head.fit}: the head is fitted in one step, and no "
            "learning rate has an effect; set warmup_head.fit to gradient to train it"
        )
    if phase == "unfreeze" and params.unfreeze.epochs == 0:
        raise ThawError(_NO_EPOCHS)  # before a model is asked for, which has no effect on that
    context = open_context(params, prepared, single_process=True, device=device)
    if phase == "unfreeze":
        classifier, spec = _load_warmed_up(models / "warmup_head")
        _refuse_chosen_rate(params)
        tested = _unfreeze_phase(context, classifier, spec)
        if tested.settings.epochs == 0:
            raise ThawError(_NO_EPOCHS)
    else:
        classifier, spec = starting_model(context)
        plan = last_blocks(0, len(classifier.blocks))
        tested = Phase(plan, context.params.warmup_head, spec.preprocessing)
    inputs = context.inputs(classifier, tested)
    found = find(context.runtime, classifier, inputs, context.setup(tested))
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw_lr_range(found, picture)
    return FoundRates(phase, tested.settings.lr, found.steepest, found.tenth, picture)


def _is_trained(params: Params) -> bool:
    """Return whether the stage warmup_head trains its head; ``auto`` does so for new weights."""
    fit = params.warmup_head.fit
    return fit == "gradient" or (fit == AUTO and params.backbone.weights == "none")


def _load_warmed_up(folder: Path) -> tuple[Classifier, ModelSpec]:
    """Return the model that the stage unfreeze starts from.

    Raises:
        ThawError: it does not exist yet.
    """
    if not (folder / SPEC).is_file():
        raise ThawError(f"{folder} has no model yet: run `dvc repro warmup_head` first")
    return directory.load(folder, allow_others=True)


def _refuse_chosen_rate(params: Params) -> None:
    """Raise if the stage unfreeze takes its learning rate from a comparison of trainings.

    Raises:
        ThawError: it does, or the report of the stage warmup_head is missing or damaged.
    """
    if params.unfreeze.depth != AUTO or params.unfreeze.blocks:
        return
    if is_chosen_by_training(params, read_head_method(REPORTS / "warmup_head")):
        raise ThawError(_COMPARED)


def _unfreeze_phase(context: Context, classifier: Classifier, spec: ModelSpec) -> Phase:
    """Return the phase that the stage unfreeze would train, with ``auto`` replaced."""
    resolved = resolve(context, classifier, spec.preprocessing)
    return Phase(
        resolved.plan,
        resolved.settings,
        spec.preprocessing,
        context.params.augment.fixed(),
        lr_decay=resolved.settings.lr_decay,
    )
