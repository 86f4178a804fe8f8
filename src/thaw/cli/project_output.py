"""Lines that `thaw init`, `thaw upgrade` and `thaw repair` print, and their content for JSON."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from thaw import __version__
from thaw.errors import grouped
from thaw.ingest.listing import shown_path
from thaw.projects.first_commit import has_commit
from thaw.system.project_paths import DVC_LOCK, REPORTS, TOOL_LOCK
from thaw.system.provenance import has_uncommitted
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from thaw.projects.image_survey import Survey
    from thaw.projects.upgrade import Upgrade
    from thaw.tracking.moved_store import Relocation

_MOST_SHOWN = 12  # classes that are printed


def print_survey(found: Survey, folder: Path) -> None:
    """Print what was found about the images of a new project in ``folder``."""
    counts = found.counts
    kind = "files" if found.has_unusable_files else "images"
    total = f"{sum(counts.values())} {kind} in {len(counts)} classes"
    typer.echo(f"{total}: {_shortened(_pairs(counts))}")
    if found.splits:
        typer.echo(f"splits of the source: {', '.join(_pairs(found.splits))}")
    if found.short_sides:
        low, high = min(found.short_sides), max(found.short_sides)
        typer.echo(f"short sides: {low} to {high} pixels, median {found.median_side}")
    for note in found.notes:
        typer.echo(note)
    if found.problems:
        count = quantity(len(found.problems), "problem")
        typer.echo(f"`dvc repro` will refuse these images ({count}):")
        for problem in grouped(found.problems):
            typer.echo(f"  - {problem}")
    root = Path(found.data.root)
    if not root.is_absolute() and not (folder / root).is_symlink():
        typer.echo(f"Keep track of the images: dvc add {shlex.quote(str(root))}")


def survey_content(found: Survey) -> dict[str, Any]:
    """Return what was found about the images of a new project."""
    sides = found.short_sides
    return {
        "source": found.data.source,
        "path": found.data.path,
        "classes": found.counts,
        "splits": found.splits,
        "short_side": {"min": min(sides), "median": found.median_side, "max": max(sides)}
        if sides
        else None,
        "notes": found.notes,
        "problems": found.problems,
    }


def print_relocation(found: Relocation) -> None:
    """Print what was corrected in the MLflow store of a project that was moved."""
    counts = ", ".join(f"{name} {count}" for name, count in found.changed.items() if count)
    typer.echo(f"MLflow's store was in {', '.join(map(str, found.origins))}")
    typer.echo(f"  and is in {found.folder}; corrected rows: {counts}")
    typer.echo(f"  the database as it was before: {found.backup}")
    if found.missing:
        models = quantity(len(found.missing), "model has", "models have")
        typer.echo(f"{models} no files, at neither place; the first:")
        typer.echo(f"  {found.missing[0]}")


def print_upgrade(plan: Upgrade) -> None:
    """Print the changes of an upgrade."""
    content = upgrade_content(plan)
    if content["converted"]:
        typer.echo(f"converted: {', '.join(map(str, content['converted']))}")
    for old, new in plan.renames:
        typer.echo(f"renamed in params.yaml: {old} -> {new}")
    if plan.kept:
        typer.echo(f"outputs kept, made by other code: {', '.join(plan.kept)}")
    for stage, reason in plan.not_kept.items():
        typer.echo(f"not kept: {stage}, in which more than the code has changed: {reason}")
    if again := content["runs_again"]:
        typer.echo(f"`dvc repro` runs again, because the code is another: {', '.join(again)}")
    else:
        typer.echo("no stage runs again because of its code")
    if plan.removable:
        typer.echo(f"not needed any more, you can remove: {', '.join(plan.removable)}")


def command_after_upgrade(plan: Upgrade) -> str:
    """Return the command that completes an upgrade that was written, "" if there is none."""
    is_written = bool(plan.texts or plan.changed or plan.outputs)
    folders = {path.parent for path in plan.outputs}
    written = [*plan.texts, TOOL_LOCK, DVC_LOCK, REPORTS, *folders]
    is_to_commit = is_written and has_commit() and has_uncommitted(written)
    commit = f"git add --all && git commit -m 'thaw upgrade to {__version__}'"
    again = upgrade_content(plan)["runs_again"]
    # The gate wants what decides about a result committed before `dvc repro`.
    steps = [commit if is_to_commit else "", "dvc repro" if again else ""]
    return " && ".join(filter(None, steps))


def upgrade_content(plan: Upgrade) -> dict[str, Any]:
    """Return the changes of an upgrade."""
    return {
        "versions": plan.lock.versions,
        "converted": [*plan.texts, *plan.outputs],
        "renamed": {each.old: each.new for each in plan.renames},
        "runs_again": [stage for stage in plan.changed if stage not in plan.kept],
        "kept": plan.kept,
        "not_kept": plan.not_kept,
        "removable": plan.removable,
    }


def _pairs(counts: dict[str, int]) -> list[str]:
    return [f"{shown_path(name)} {count}" for name, count in counts.items()]


def _shortened(texts: list[str]) -> str:
    more = len(texts) - _MOST_SHOWN
    return ", ".join(texts[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
