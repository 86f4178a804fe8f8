"""What the verb `thaw find-lr` does: a learning-rate range test of a phase, as it would start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rich.console import Console

from thaw.advice.report import Opened, open_project
from thaw.advice.resolve import resolve
from thaw.evaluation.rates_plot import draw
from thaw.model import directory
from thaw.model.freeze import apply, last_blocks
from thaw.training.activations import sources
from thaw.training.rates import find

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config import Augment, Training, Unfreeze
    from thaw.model.freeze import Plan

Phase = Literal["warmup_head", "unfreeze"]
_console = Console()


def show_rates(phase: Phase, prepared: Path, models: Path, picture: Path) -> None:
    """Run the test of ``phase``, print what it suggests and draw it.

    Raises:
        ThawError: for unfreeze, the warm-up has not run yet.
    """
    opened = open_project(prepared, taps=True)
    params, lr_decay = opened.params, 1.0
    settings: Training = params.warmup_head
    augmentation: Augment | None = None
    plan = last_blocks(0, len(opened.classifier.blocks))
    if phase == "unfreeze":
        opened, plan, unfreeze = _warmed_up(opened, models)
        settings, lr_decay, augmentation = unfreeze, unfreeze.lr_decay, params.augment
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


def _warmed_up(opened: Opened, models: Path) -> tuple[Opened, Plan, Unfreeze]:
    classifier, spec = directory.load(models / "warmup_head")
    made = Opened(opened.params, opened.runtime, opened.data, classifier, spec)
    resolved = resolve(
        made.runtime,
        classifier,
        made.data,
        spec.preprocessing,
        made.params.unfreeze,
        made.cache,
        made.params.seed,
    )
    return made, resolved.plan, resolved.settings
