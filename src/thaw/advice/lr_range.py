"""What the verb `thaw find-lr` does: a learning-rate range test of a phase, as it would start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rich.console import Console

from thaw.advice.auto_values import resolve
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.context import Phase, open_context
from thaw.evaluation.lr_range_plot import draw
from thaw.model import directory
from thaw.model.freeze_plan import last_blocks
from thaw.registry.starting_model import starting_model
from thaw.training.lr_range_test import find

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.context import Context
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

PhaseName = Literal["warmup_head", "unfreeze"]
_console = Console()


def show_rates(phase: PhaseName, prepared: Path, models: Path, picture: Path) -> None:
    """Run the test of ``phase``, print what it suggests and draw it.

    Raises:
        ThawError: for unfreeze, the warm-up has not run yet.
    """
    context = open_context(load(Params), prepared, single_process=True)
    if phase == "unfreeze":
        classifier, spec = directory.load(models / "warmup_head")
        tested = _unfreeze_phase(context, classifier, spec)
    else:
        classifier, spec = starting_model(context)
        plan = last_blocks(0, len(classifier.blocks))
        tested = Phase(plan, context.params.warmup_head, spec.preprocessing)
    inputs = context.inputs(classifier, tested)
    found = find(context.runtime, classifier, inputs, context.setup(tested))
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(found, picture)
    _console.print(f"{phase}.lr is {tested.settings.lr:g}", highlight=False)
    _console.print(f"  steepest descent: {found.steepest:.1e}", highlight=False)
    _console.print(f"  a tenth of the lowest point: {found.tenth:.1e}", highlight=False)
    _console.print(f"drawn: {picture}", highlight=False)


def _unfreeze_phase(context: Context, classifier: Classifier, spec: ModelSpec) -> Phase:
    """Return the phase that the stage unfreeze would train, without any ``auto``."""
    resolved = resolve(context, classifier, spec.preprocessing)
    return Phase(
        resolved.plan,
        resolved.settings,
        spec.preprocessing,
        context.params.augment,
        lr_decay=resolved.settings.lr_decay,
    )
