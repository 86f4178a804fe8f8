"""The summary table after a pipeline run: training, scores, registered version, next commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from thaw.errors import ThawError
from thaw.evaluation.page.render import PAGE
from thaw.metrics.registry import METRICS
from thaw.system.project_paths import REGISTERED, REPORT
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.params import Params


def show(params: Params, reports: Path) -> None:
    """Print the table of the reports of the last ``dvc repro``.

    Raises:
        ThawError: some stage has not run yet.
    """
    data = _read(reports / "prepare" / REPORT)
    warmup, unfreeze, fold = (
        _read(reports / stage / REPORT) for stage in ("warmup_head", "unfreeze", "fold_bn")
    )
    metrics = _read(reports / "evaluate" / REPORT)
    scores = metrics["test"]
    registered = _read(reports / "evaluate" / REGISTERED)
    splits = data["splits"]
    table = Table(title="thaw", show_header=False, title_style="bold", min_width=60)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    table.add_row(
        "data",
        f"{data['images']} images, {data['classes']} classes "
        f"({splits['train']} train, {splits['val']} validation, {splits['test']} test)",
    )
    table.add_row("backbone", escape(f"{params.backbone.name}, weights {params.backbone.weights}"))
    table.add_row("warmup_head", _phase(warmup))
    note = "; the head warm-up's model is kept" if unfreeze["warmup_head_stands"] else ""
    trained = f"{len(unfreeze['blocks'])} blocks"
    table.add_row(f"unfreeze ({trained})", _phase(unfreeze) + note)
    moved = max(fold["fold_relative_move"], fold["merge_relative_move"])
    table.add_row(
        "fold_bn",
        f"{_phase(fold)}; {fold['folded']} folded, {fold['merged']} merged, "
        f"logits moved by {moved:.0e} of their scale",
    )
    table.add_section()
    table.add_row(
        "test accuracy",
        f"[bold]{scores['accuracy']:.4f}[/bold]  "
        f"(95 % interval {scores['accuracy_low']:.3f} to {scores['accuracy_high']:.3f}, "
        f"{scores['images']:.0f} images)",
    )
    if "uncalibrated" in metrics:
        table.add_row("calibration", _calibration(metrics["uncalibrated"], scores))
    if "tta" in metrics:
        views = f"{params.evaluate.tta_views} augmented views averaged in"
        table.add_row("with augmentation", f"{metrics['tta']['accuracy']:.4f}  ({views})")
    # A result that `thaw upgrade --keep` accepted has no value of a newer metric.
    known = [metric for metric in METRICS.values() if metric.name in scores]
    others = [metric for metric in known if metric.name != "accuracy"]
    for pair in (others[start : start + 2] for start in range(0, len(others), 2)):
        values = ", ".join(f"{scores[metric.name]:.4f}" for metric in pair)
        table.add_row(", ".join(metric.label for metric in pair), values)
    table.add_section()
    name = escape(f"{registered['name']} version {registered['version']}")
    note = "" if registered.get("is_new", True) else "; this run made the same model again"
    table.add_row("registered", f"[bold]{name}[/bold] as @{registered['alias']}{note}")
    table.add_row("MLflow run", registered["run_id"])
    console = Console(highlight=False)
    console.print(table)
    if (page := reports / PAGE).is_file():
        console.print(f"Report page: {page.resolve().as_uri()}", soft_wrap=True)
    console.print(
        "Next:  git add --all && git commit       keep it: `thaw promote` needs a commit\n"
        "       thaw ui                           runs and models in the browser\n"
        "       dvc plots show                    curves, confusion matrix, mistakes\n"
        "       dvc exp run -S unfreeze.depth=3   another value; the rest is reused\n"
        "       dvc metrics diff                  compare with the last commit"
    )


def as_json(reports: Path) -> dict[str, Any]:
    """Return the reports of the last ``dvc repro`` by stage, the version, and the report page.

    Raises:
        ThawError: some stage has not run yet.
    """
    found = {stage: _read(reports / stage / REPORT) for stage in STAGES}
    page = reports / PAGE
    return {
        **found,
        "registered": _read(reports / "evaluate" / REGISTERED),
        "page": str(page) if page.is_file() else None,
    }


def _calibration(before: dict[str, float], after: dict[str, float]) -> str:
    return ", ".join(
        f"{METRICS[name].label} {before[name]:.4f} to {after[name]:.4f}"
        for name in ("log_loss", "ece")
    )


def _phase(report: dict[str, Any]) -> str:
    if not report["epochs"]:
        return "no epoch trained"
    return (
        f"best epoch {report['best_epoch']} of {report['epochs']}, "
        f"validation loss {report['start_val_loss']:.4f} to {report['val_loss']:.4f}"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ThawError(f"there is no {path} yet: run `dvc repro` first") from None
    except ValueError as error:
        raise ThawError(
            f"{path} is damaged ({error}): run `dvc repro -f {path.parent.name}`"
        ) from None
    return content
