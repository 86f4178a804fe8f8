"""What the verb `thaw find-lr` does: a learning-rate range test of a phase, as it would start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rich.console import Console

from thaw.advice.auto_values import resolve
from thaw.advice.opened_project import Opened, open_model, open_start
from thaw.evaluation.lr_range_plot import draw
from thaw.model.freeze_plan import apply, last_blocks
from thaw.training.activation_cache import sources
from thaw.training.lr_range_test import find

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.data_sections import Augment
    from thaw.config.training_sections import Training, Unfreeze
    from thaw.model.freeze_plan import Plan

Phase = Literal["warmup_head", "unfreeze"]
_console = Console()


def show_rates(phase: Phase, prepared: Path, models: Path, picture: Path) -> None:
    """Run the test of ``phase``, print what it suggests and draw it.

    Raises:
        ThawError: for unfreeze, the warm-up has not run yet.
    """
    settings: Training
    augmentation: Augment | None = None
    lr_decay = 1.0
    if phase == "unfreeze":
        opened = open_model(prepared, models / "warmup_head")
        plan, unfreeze = _unfrozen(opened)
        settings, lr_decay, augmentation = unfreeze, unfreeze.lr_decay, opened.params.augment
    else:
        opened = open_start(prepared, taps=True)
        plan = last_blocks(0, len(opened.classifier.blocks))
        settings = opened.params.warmup_head
    params = opened.params
    apply(opened.classifier, plan)
    preprocessing = opened.spec.preprocessing
    train = opened.data.images("train", preprocessing, params.seed, augmentation)
    val = opened.data.images("val", preprocessing)
    at_cut = sources(opened.runtime, opened.classifier, train, val, plan.cut, opened.cache)
    found = find(
        opened.runtime,
        opened.classifier,
        at_cut.pair[0],
        settings,
        params.regularize,
        seed=params.seed,
        lr_decay=lr_decay,
        cut=at_cut.cut,
    )
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(found, picture)
    _console.print(f"{phase}.lr is {settings.lr:g}", highlight=False)
    _console.print(f"  steepest descent: {found.steepest:.1e}", highlight=False)
    _console.print(f"  a tenth of the lowest point: {found.tenth:.1e}", highlight=False)
    _console.print(f"drawn: {picture}", highlight=False)


def _unfrozen(opened: Opened) -> tuple[Plan, Unfreeze]:
    """What the stage unfreeze would train, with nothing left to ``auto``."""
    resolved = resolve(
        opened.runtime,
        opened.classifier,
        opened.data,
        opened.spec.preprocessing,
        opened.params,
        opened.cache,
    )
    return resolved.plan, resolved.settings
